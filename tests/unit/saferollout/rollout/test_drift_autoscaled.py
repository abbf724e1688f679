"""An autoscaler's scaling is no drift, as far as it can be known."""

import pytest

from saferollout.azure.memory import Memory
from saferollout.azure.workspace import Workspace
from saferollout.domain.errors import AzureFailed, Drifted
from saferollout.rollout import drift
from tests.support.twin import NAME, look, make_endpoint
from tests.unit.saferollout.rollout.test_drift import ready_for


@pytest.fixture
def memory() -> Memory:
    """An endpoint with three instances of blue at 100%."""
    return make_endpoint(count=3)


@pytest.mark.parametrize("name", ["blue", "green"])
@pytest.mark.parametrize("count", [1, 7])
def test_what_an_enabled_autoscale_setting_does_is_no_drift(
    memory: Memory, azure: Workspace, name: str, count: int
) -> None:
    """Neither more instances nor fewer, of live or of the candidate; and only of whom the setting is for."""
    rollout = ready_for("shift", azure)
    memory.autoscaled = {(NAME, name)}
    memory.scale_deployment(NAME, name, count)

    drift.require_unchanged(azure, rollout)
    memory.autoscaled = {(NAME, "red"), ("another", name)}

    with pytest.raises(Drifted, match=f"deployment {name} has {count} instance"):
        drift.require_unchanged(azure, rollout)


def test_a_deployment_that_scales_itself_is_no_drift(memory: Memory, azure: Workspace) -> None:
    """On Kubernetes its own settings say so."""
    rollout = ready_for("shift", azure)
    there = look(memory).deployments["blue"].resource
    scales = there | {"properties": there["properties"] | {"scaleSettings": {"scaleType": "TargetUtilization"}}}
    memory.put_deployment(NAME, "blue", scales | {"sku": {"capacity": 9}})

    drift.require_unchanged(azure, rollout)


def test_instances_are_not_compared_where_autoscale_settings_cannot_be_read(
    memory: Memory, azure: Workspace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever runs the rollout may lack the permission: the log names it. An Azure that fails is no answer."""
    rollout = ready_for("shift", azure)
    memory.scale_deployment(NAME, "blue", 4)

    def fail(status: int) -> None:
        def read(_: str) -> set[str]:
            raise AzureFailed("no", status=status)

        monkeypatch.setattr(memory, "read_autoscaled", read)

    fail(403)
    drift.require_unchanged(azure, rollout)
    assert "Microsoft.Insights/autoscaleSettings/read" in caplog.text
    fail(500)
    with pytest.raises(AzureFailed):
        drift.require_unchanged(azure, rollout)


def test_autoscale_settings_are_read_only_where_instances_differ(
    memory: Memory, azure: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look costs no further call while nothing has changed."""
    rollout = ready_for("shift", azure)
    monkeypatch.delattr(type(memory), "read_autoscaled")

    drift.require_unchanged(azure, rollout)
