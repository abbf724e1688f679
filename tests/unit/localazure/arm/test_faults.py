"""Which requests a fault is for, and when its turn comes."""

import pytest

from localazure.arm.faults import Fault, Spec

ROOT = "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w"


@pytest.mark.parametrize(
    ("path", "pattern", "concerned"),
    [
        (f"{ROOT}/onlineEndpoints/a", "onlineEndpoints/*", True),
        (f"{ROOT}/onlineEndpoints/a", "onlineendpoints/A", True),
        (f"{ROOT}/onlineEndpoints/a/deployments/b", "onlineEndpoints/*", False),
        (f"{ROOT}/onlineEndpoints/a/deployments/b", "onlineEndpoints/**", True),
        (f"{ROOT}/onlineEndpoints/a/deployments/b", "onlineEndpoints/*/deployments/*", True),
        (f"{ROOT}/onlineEndpoints/a.b", "onlineEndpoints/a?b", False),
        (f"{ROOT}/onlineEndpoints/a", "/**/onlineEndpoints/*", True),
        (ROOT, "/subscriptions/**", True),
        (ROOT, "*", False),
        ("/tenant/oauth2/v2.0/token", "/*/oauth2/v2.0/token", True),
        ("/tenant/oauth2/v2.0/token", "**", True),
    ],
)
def test_paths(path: str, pattern: str, concerned: bool) -> None:
    """Relative to the workspace or whole, whatever the case; every character but the stars is itself."""
    assert Fault("1", Spec(kind="reset", path=pattern)).concerns("GET", path) is concerned


def test_methods() -> None:
    """One, or all; the case does not matter."""
    assert Fault("1", Spec(kind="reset", method="PUT")).concerns("put", "/x")
    assert Fault("1", Spec(kind="reset", method="put")).concerns("PUT", "/x")
    assert not Fault("1", Spec(kind="reset", method="PUT")).concerns("GET", "/x")
    assert Fault("1", Spec(kind="reset")).concerns("GET", "/x")


@pytest.mark.parametrize(
    ("skip", "times", "struck"),
    [(0, 1, [True, False, False, False]), (1, 2, [False, True, True, False]), (2, None, [False, False, True, True])],
)
async def test_turns(skip: int, times: int | None, struck: list[bool]) -> None:
    """Some are let through, so many go wrong, the others are let through again."""
    fault = Fault("1", Spec(kind="reset", skip=skip, times=times))
    assert [await fault.takes() for _ in range(4)] == struck
    assert fault.hits == sum(struck)
