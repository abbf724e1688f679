"""What tests of the workspace change on its endpoint `troubled`."""

from pathlib import Path

from saferollout.azure.client import Client
from saferollout.azure.workspace import Workspace
from saferollout.config.project import resolve_workspace
from saferollout.domain.endpoint import Baseline
from saferollout.rollout.owner import Owner
from saferollout.rollout.record import Record, now

NAME = "troubled"


ENDPOINT = f"onlineEndpoints/{NAME}"


def create(workspace: Workspace, project: Path) -> None:
    """A deployment that is not there."""
    workspace.create_deployment(project / "green-deployment.yml", NAME, "green", assets={}, tags={"by": "test"})


def mark(workspace: Workspace, _: Path) -> None:
    """Change the endpoint's tags."""
    workspace.update_endpoint(NAME, tags=lambda tags: tags | {"number": str(int(tags.get("number", "0")) + 1)})


def scale(workspace: Workspace, _: Path) -> None:
    """From one instance to two, or back."""
    count = workspace.get_endpoint(NAME).deployments["blue"].instance_count
    workspace.scale_back(NAME, "blue", 3 - count, instead_of=count)


def delete(workspace: Workspace, _: Path) -> None:
    """The deployment that `create` made."""
    workspace.delete_deployment(NAME, "green")


def hurried() -> Workspace:
    """One that waits two seconds for an operation."""
    return Workspace(Client(resolve_workspace(None).model_copy(update={"operation_timeout_s": 2})))


def begun(workspace: Workspace) -> None:
    """What a rollout leaves that gave its candidate a share and died."""
    record = Record(
        rollout="r-1",
        owner=Owner(name="ann@laptop", flow_run="run-1"),
        since=now().replace(microsecond=0),
        candidate="red",
        revision="0" * 12,
        baseline=Baseline(live="blue", instance_count=1),
        share=10,
        raised_to=2,
    )
    workspace.update_endpoint(NAME, traffic={"blue": 90, "red": 10}, tags=lambda tags: tags | record.to_tags())
    workspace.scale_up(NAME, "blue", 2)
