"""An endpoint on Azure's twin in memory, and a project without files to roll out on it."""

from pathlib import Path
from typing import Any

from saferollout.azure.memory import Memory
from saferollout.azure.memory_state import Endpoint
from saferollout.azure.port import Resource
from saferollout.config.project import Project
from saferollout.config.recorded_requests import Recording
from saferollout.config.rollout import RolloutConfig
from saferollout.domain.vm_size import VmSize
from saferollout.rollout.owner import Owner

NAME = "shop"
SLOTS = ("blue", "green")
SHARES = (10, 50, 100)
SIZE = VmSize(name="Standard_DS3_v2", family="standardDSv2Family", cores=4, used=0, limit=None)
OWNERS = {name: Owner(name=f"{name}@laptop", flow_run=f"run-of-{name}") for name in ("ann", "bob", "eve")}


class FakeProject(Project):
    """A project without files."""

    def check_unchanged(self) -> None:
        """They never change."""


def make_project(version: int = 2, **settings: Any) -> Project:
    """A project that rolls out this version of a registered model."""
    files = {"endpoint": "endpoint.yml", "deployment": "green.yml"}
    stages = [{"traffic": share} for share in SHARES]
    path = Path("/nowhere")
    return FakeProject(
        config_path=path,
        config=RolloutConfig.model_validate(files | {"slots": SLOTS, "stages": stages} | settings),
        endpoint=NAME,
        endpoint_path=path,
        deployment_path=path,
        requests_path=path,
        assets={"model": f"azureml:model:{version}"},
        recorded=Recording(text="", total=0),
        answer_schema=None,
        files="none",
        model_of_yaml="",
    )


def make_endpoint(live: str = "blue", count: int = 1, *, quota: int | None = None) -> Memory:
    """A workspace with an endpoint that has one deployment, which no rollout made, with all traffic."""
    memory = Memory(read=lambda _: {"instance_count": 1, "instance_type": SIZE.name}, quota=quota)
    memory.vm_sizes = [SIZE]
    properties: Resource = {"traffic": {}, "mirrorTraffic": {}}
    memory.put_endpoint(NAME, {"location": "memory", "tags": {"team": "shop"}, "properties": properties})
    deploy(memory, live, 1, count)
    edit(memory, traffic={live: 100})
    return memory


def look(memory: Memory) -> Endpoint:
    """The endpoint as it is."""
    found = memory.look(NAME)
    assert found is not None
    return found


def edit(memory: Memory, *, tags: dict[str, str] | None = None, **properties: Any) -> None:
    """Change the endpoint behind the rollout's back."""
    now = look(memory).resource
    changed = now | {"properties": now["properties"] | properties} | ({} if tags is None else {"tags": tags})
    memory.put_endpoint(NAME, changed)


def deploy(memory: Memory, name: str, version: int, count: int = 1, tags: dict[str, str] | None = None) -> None:
    """Create or replace a deployment behind the rollout's back."""
    properties = {
        "model": f"/subscriptions/s/…/models/model/versions/{version}",
        "environmentId": "",
        "instanceType": SIZE.name,
    }
    resource = {"tags": tags or {}, "sku": {"capacity": count}, "properties": properties}
    memory.put_deployment(NAME, name, resource)


def traffic_of(endpoint: Endpoint) -> dict[str, int]:
    """Its traffic, without zeros."""
    traffic: dict[str, int] = endpoint.resource["properties"]["traffic"]
    return {name: share for name, share in traffic.items() if share}


def capacity(deployment: Resource) -> int:
    """How many instances the deployment has."""
    return int(deployment["sku"]["capacity"])
