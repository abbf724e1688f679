"""Azure ML's rules, at their edges."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localazure.arm.errors import ArmError
from localazure.resources import rules


@pytest.mark.parametrize("name", ["abc", "a1-b2", "A" * 32, "blue", "a-b-c"])
def test_good_names(name: str) -> None:
    """3 to 32 characters, a letter first, single dashes inside."""
    rules.check_name("endpoint", name)


@pytest.mark.parametrize("name", ["", "ab", "1ab", "-ab", "ab-", "a--b", "a_b", "a.b", "a/b", "ä12", "A" * 33, "abc\n"])
def test_bad_names(name: str) -> None:
    """Everything else, paths and line breaks among it."""
    with pytest.raises(ArmError) as caught:
        rules.check_name("endpoint", name)
    assert caught.value.status == 400


@given(st.dictionaries(st.sampled_from(["blue", "green", "red"]), st.integers(-5, 105)))
def test_traffic_is_good_exactly_when_it_sums_to_0_or_100(traffic: dict[str, int]) -> None:
    """With every share between 0 and 100."""
    good = all(0 <= share <= 100 for share in traffic.values()) and sum(traffic.values()) in (0, 100)
    try:
        rules.check_traffic(traffic, {}, ["blue", "green", "red"])
    except ArmError:
        assert not good
    else:
        assert good


@pytest.mark.parametrize(
    ("traffic", "mirror", "good"),
    [
        ({"blue": 100}, {"green": 50}, True),
        ({"blue": 100, "green": 0}, {"green": 10}, True),
        ({"Blue": 100}, {}, True),
        ({"blue": 100}, {"green": 51}, False),
        ({"blue": 100}, {"blue": 10}, False),
        ({"blue": 100}, {"BLUE": 10}, False),
        ({"blue": 100}, {"green": 10, "red": 10}, False),
        ({"blue": 100}, {"green": 10, "red": 0}, True),
        ({"blue": 100}, {"purple": 10}, False),
        ({"blue": 100.0}, {}, False),
        ({"blue": "100"}, {}, False),
        ({"blue": True}, {}, False),
    ],
)
def test_mirroring(traffic: dict[str, int], mirror: dict[str, int], good: bool) -> None:
    """One deployment, at most 50%, none that has live traffic; names compare without regard to case."""
    if good:
        rules.check_traffic(traffic, mirror, ["blue", "green", "red"])
        return
    with pytest.raises(ArmError):
        rules.check_traffic(traffic, mirror, ["blue", "green", "red"])
