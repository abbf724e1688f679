"""When a call to Azure is made again, and when not."""

import pytest

from saferollout.azure.retries import insisting, poll
from saferollout.domain.errors import AzureFailed, DeploymentFailed, Refused, SaferolloutError


def test_azure_is_looked_at_until_it_shows_something() -> None:
    """What is found is returned, with the number of looks that it takes and no more."""
    shown = iter([None, False, "blue", "green"])

    assert poll(lambda: next(shown), 60) == "blue"
    assert next(shown) == "green"


def test_what_azure_does_not_show_in_time_is_none() -> None:
    """It is looked at once at least, however short the time is."""
    looks: list[int] = []

    assert poll(lambda: looks.append(1), 0) is None
    assert len(looks) == 1


def test_a_look_that_fails_is_not_made_again() -> None:
    """Its failure is raised as it was."""
    looks: list[int] = []

    def look() -> None:
        looks.append(1)
        raise AzureFailed("gone", status=404)

    with pytest.raises(AzureFailed, match="gone"):
        poll(look, 60)
    assert len(looks) == 1


@pytest.mark.parametrize(
    ("error", "tries"),
    [
        (AzureFailed("throttled", status=429, retryable=True), 2),
        (AzureFailed("expired", status=401), 2),
        (DeploymentFailed("no capacity"), 2),
        (AzureFailed("forbidden", status=403), 1),
        (AzureFailed("no such workspace"), 1),
        (Refused("somebody else's"), 1),
    ],
    ids=str,
)
def test_a_rollback_insists_where_azure_may_yet_do_it(error: SaferolloutError, tries: int) -> None:
    """What Azure refuses it would refuse again."""
    made: list[int] = []

    @insisting
    def step() -> None:
        made.append(1)
        if len(made) == 1:
            raise error

    if tries == 1:
        with pytest.raises(type(error)):
            step()
    else:
        step()
    assert len(made) == tries
