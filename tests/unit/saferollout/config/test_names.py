"""Azure's rules for names."""

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saferollout.config.names import check_deployment_name, check_name

ALLOWED = string.ascii_letters + string.digits + "-"


@pytest.mark.parametrize("name", ["abc", "blue", "Green-2", "a1b", "a-b-c", "a" * 32])
def test_a_name_by_the_rules_is_returned(name: str) -> None:
    """Letters, digits and single dashes, 3 to 32 of them."""
    assert check_name("endpoint", name) == name


@pytest.mark.parametrize(
    "name", ["", "ab", "a" * 33, "1abc", "-abc", "abc-", "a--b", "a_b", "a b", "a.b", "größe", "abc\n", "\nabc"]
)
def test_a_name_against_the_rules_is_reported_with_the_rule(name: str) -> None:
    """The message has the name, what it was to be, and the rule."""
    with pytest.raises(ValueError, match=r"is not a valid deployment name; use 3 to 32 letters") as caught:
        check_deployment_name(name)

    assert str(caught.value).startswith(repr(name))


@given(st.text(ALLOWED, max_size=40))
def test_the_rule_is_azures(name: str) -> None:
    """Any word of the allowed characters passes exactly when it keeps to length, ends and dashes."""
    fits = 3 <= len(name) <= 32 and name[0].isalpha() and name[-1] != "-" and "--" not in name

    if fits:
        assert check_name("endpoint", name) == name
    else:
        with pytest.raises(ValueError, match=re.escape(repr(name))):
            check_name("endpoint", name)
