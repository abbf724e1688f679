"""How long a deployment is left alone that may have users, as the environment says."""

import pytest

from saferollout.azure.client import DRAIN, DRAIN_S, Client
from saferollout.config.rollout import WorkspaceConfig
from saferollout.domain.errors import ConfigError

WORKSPACE = WorkspaceConfig(subscription_id="s", resource_group="g", name="w")


@pytest.mark.parametrize(("given", "drain_s"), [(None, DRAIN_S), ("", DRAIN_S), ("0", 0), ("200.5", 200.5)])
def test_the_environment_may_say(monkeypatch: pytest.MonkeyPatch, given: str | None, drain_s: float) -> None:
    """By default it is a minute."""
    monkeypatch.delenv(DRAIN, raising=False)
    if given is not None:
        monkeypatch.setenv(DRAIN, given)

    assert Client(WORKSPACE).drain_s == drain_s


@pytest.mark.parametrize("given", ["-1", "inf", "nan", "a minute"])
def test_what_is_no_number_of_seconds_is_bad_input(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    """It names the variable, before anything is called."""
    monkeypatch.setenv(DRAIN, given)

    with pytest.raises(ConfigError, match=f"environment: {DRAIN}: '{given}' is not a number of seconds; e.g. 60"):
        Client(WORKSPACE)
