"""Azure Machine Learning in memory: the port's twin, which obeys the same rules without a server, files or waiting.

Operations end within the call that begins them. A test says where that is otherwise: that one fails, that somebody
else's is under way, that reads come late.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from saferollout.azure import rules
from saferollout.azure.memory_state import Deployment, Endpoint, MemoryFolder, NewDeployment, NewEndpoint, copy_json
from saferollout.azure.port import Resource
from saferollout.azure.rules import refuse
from saferollout.config import yaml_file
from saferollout.config.assets import label_of, with_version
from saferollout.domain.errors import AzureFailed, Busy
from saferollout.domain.registered_model import RegisteredModel
from saferollout.domain.vm_size import VmSize

Failure = Literal["before", "after"]
"""An operation that fails, before or after it has taken effect."""


class Memory:
    """The port `Azure` in memory."""

    operation_timeout_s, drain_s = 60.0, 0.0

    def __init__(self, read: Callable[[Path], dict[str, Any]] = yaml_file.read, *, quota: int | None = None) -> None:
        """Take YAML as `read` reads it; all managed deployments together have at most `quota` instances."""
        self._read = read
        self._quota = quota
        self._endpoints: dict[str, Endpoint] = {}
        self._held: dict[tuple[str, str], tuple[int, Resource | None]] = {}
        self._before: dict[str, tuple[int, Endpoint | None]] = {}
        self._key = 1
        self.late_reads = 0
        """How often an endpoint is still shown as it was, after each change."""
        self.fails_next: Failure | None = None
        """How the next operation fails."""
        self.versions: dict[str, str] = {}
        """The version that each label of a registered asset is on, by the asset with its label."""
        self.codes: dict[str, dict[str, bytes]] = {}
        """The files of each code asset, by its id."""
        self.environments: dict[str, Resource] = {}
        """Each environment, by its id."""
        self.models: list[RegisteredModel] = []
        """The registered models, in the order in which they were made."""
        self.vm_sizes: list[VmSize] = []
        """Those of the region; what they say to be used is used by others."""
        self.autoscaled: set[tuple[str, str]] = set()
        """Endpoint and deployment, in small letters, that an enabled autoscale setting scales."""
        self.changed: Callable[[], None] = lambda: None
        """Called after every change, by whomever."""

    def hold(self, endpoint: str, deployment: str = "", *, reads: int, shown: Resource | None = None) -> None:
        """Let an operation go on until the endpoint, or its deployment, has been read so often.

        Till then it is `shown` so: Azure shows the traffic of before until an operation ends.
        """
        self._held[endpoint.lower(), deployment.lower()] = reads, shown

    def look(self, endpoint: str) -> Endpoint | None:
        """The endpoint as it is, however late or busy it is shown."""
        return self._endpoints.get(endpoint.lower())

    def settle(self, took_s: float) -> None:
        """See `Azure`; here nothing is on its way."""

    def list_endpoints(self) -> list[Resource]:
        """See `Azure`."""
        found = (self.read_endpoint(name) for name in sorted(self._endpoints))
        return [resource for resource in found if resource is not None]

    def read_endpoint(self, endpoint: str) -> Resource | None:
        """See `Azure`."""
        found = self._shown(endpoint)
        return None if found is None else self._as_shown(found.resource, endpoint, "")

    def list_deployments(self, endpoint: str) -> list[Resource] | None:
        """See `Azure`."""
        if (found := self._shown(endpoint)) is None:
            return None
        return [self._as_shown(there.resource, endpoint, name) for name, there in found.deployments.items()]

    def _shown(self, endpoint: str) -> Endpoint | None:
        reads, before = self._before.pop(endpoint.lower(), (0, None))
        if not reads:
            return self.look(endpoint)
        self._before[endpoint.lower()] = reads - 1, before
        return before

    def _as_shown(self, resource: Resource, endpoint: str, deployment: str) -> Resource:
        key = (endpoint.lower(), deployment)
        if key not in self._held:
            return copy_json(resource)
        reads, meanwhile = self._held.pop(key)
        shown = copy_json(meanwhile or resource)
        shown["properties"]["provisioningState"] = "Updating"
        self._held |= {key: (reads - 1, meanwhile)} if reads > 1 else {}
        return shown

    # endpoints

    def load_endpoint(self, path: Path) -> NewEndpoint:
        """See `Azure`."""
        given = self._read(path)
        return NewEndpoint(
            given["name"], traffic=given.get("traffic", {}), tags=given.get("tags", {}), compute=given.get("compute")
        )

    def create_endpoint(self, wanted: Any) -> None:
        """See `Azure`."""
        properties = {"traffic": wanted.traffic, "mirrorTraffic": {}, "compute": wanted.compute}
        resource = {"name": wanted.name, "location": "memory", "tags": wanted.tags, "properties": properties}
        self.put_endpoint(wanted.name, resource)

    def put_endpoint(self, endpoint: str, resource: Resource) -> None:
        """See `Azure`."""
        action = f"update endpoint {endpoint}"
        self._check_idle(action, endpoint)
        rules.check_name(action, "endpoint", endpoint)
        rules.check_tags(action, resource.get("tags") or {})
        old = self.look(endpoint)
        new = Endpoint(
            _settled(resource, name=endpoint, scoringUri=f"https://{endpoint}/score"), old.deployments if old else {}
        )
        ready = {key for key, found in new.deployments.items() if found.serving}
        properties = new.resource["properties"]
        rules.check_traffic(action, properties["traffic"], properties["mirrorTraffic"], ready)
        if new.is_kubernetes and rules.receivers_of(properties["mirrorTraffic"]):
            refuse(action, "a Kubernetes endpoint cannot mirror traffic")
        if old is not None and old.is_kubernetes != new.is_kubernetes:
            refuse(action, "its compute cannot be added or taken away")
        failure = self._failure()
        if failure:
            kept = old if old and failure == "before" else new
            new = replace(new, resource=_settled(kept.resource, "Failed"))
        self._set(endpoint, new)
        _raise_if(failure, action)

    def delete_endpoint(self, endpoint: str) -> None:
        """See `Azure`."""
        action = f"delete endpoint {endpoint}"
        if (old := self.look(endpoint)) is None:
            return
        self._check_idle(action, endpoint, "", *old.deployments)
        failure = self._failure()
        kept = replace(old, resource=_settled(old.resource, "Failed")) if failure == "before" else None
        self._set(endpoint, kept)
        _raise_if(failure, action)

    # deployments

    def load_deployment(self, path: Path, *, name: str, endpoint: str, assets: Mapping[str, str]) -> NewDeployment:
        """See `Azure`."""
        given = self._read(path)
        return NewDeployment(
            name,
            endpoint,
            instance_count=given.get("instance_count"),
            instance_type=given.get("instance_type"),
            tags=dict(given.get("tags", {})),
            model=assets.get("model", str(given.get("model", ""))),
            environment=assets.get("environment", str(given.get("environment", ""))),
        )

    def create_deployment(self, wanted: Any, uploaded: Callable[[], None]) -> None:
        """See `Azure`."""
        properties = {"model": wanted.model, "environmentId": wanted.environment, "instanceType": wanted.instance_type}
        resource = {
            "tags": wanted.tags or {},
            "sku": {"name": "Default", "capacity": wanted.instance_count or 1},
            "properties": properties,
        }
        failure = self._put_deployment(f"create deployment {wanted.name}", wanted.endpoint, wanted.name, resource)
        uploaded()
        _raise_if(failure, f"create deployment {wanted.name}")

    def put_deployment(self, endpoint: str, name: str, resource: Resource) -> None:
        """Create or replace a deployment: what the rollout never does, but others may."""
        action = f"update deployment {name}"
        _raise_if(self._put_deployment(action, endpoint, name, resource), action)

    def scale_deployment(self, endpoint: str, name: str, instance_count: int) -> None:
        """See `Azure`."""
        action = f"scale deployment {name}"
        found = self._parent(action, endpoint).deployments.get(name.lower())
        if found is None:
            refuse(action, f"the deployment '{name}' was not found", 404)
        sku = found.resource["sku"] | {"capacity": instance_count}
        _raise_if(self._put_deployment(action, endpoint, name, found.resource | {"sku": sku}), action)

    def delete_deployment(self, endpoint: str, name: str) -> None:
        """See `Azure`."""
        action = f"delete deployment {name}"
        parent = self.look(endpoint)
        if parent is None or (old := parent.deployments.get(name.lower())) is None:
            return
        properties = parent.resource["properties"]
        if name in rules.receivers_of(properties["traffic"]) | rules.receivers_of(properties["mirrorTraffic"]):
            refuse(action, f"the deployment '{name}' has traffic and cannot be deleted")
        self._check_idle(action, endpoint, name)
        failure = self._failure()
        others = {key: there for key, there in parent.deployments.items() if key != name.lower()}
        others |= {name.lower(): replace(old, resource=_settled(old.resource, "Failed"))} if failure == "before" else {}
        self._set(endpoint, replace(parent, deployments=others))
        _raise_if(failure, action)

    def _put_deployment(self, action: str, endpoint: str, name: str, resource: Resource) -> Failure | None:
        """Take a deployment's resource, and return how the operation fails, if it does."""
        rules.check_name(action, "deployment", name)
        parent = self._parent(action, endpoint)
        self._check_idle(action, endpoint, name)
        rules.check_tags(action, resource.get("tags") or {})
        self._check_instances(action, parent, name, resource["sku"]["capacity"])
        old = parent.deployments.get(name.lower())
        if old is None:
            rules.check_deployments(action, len(parent.deployments))
        failure = self._failure()
        new = _settled(resource, "Failed" if failure else "Succeeded", name=old.resource["name"] if old else name)
        serving = (old.serving if old else None) if failure == "before" else new
        self._set(endpoint, replace(parent, deployments={**parent.deployments, name.lower(): Deployment(new, serving)}))
        return failure

    def last_words(self, endpoint: str, name: str) -> str:
        """See `Azure`."""
        found = self.look(endpoint)
        there = found.deployments.get(name.lower()) if found else None
        return f"Instance status: {there.resource['properties']['provisioningState']}" if there else ""

    # access

    def secret(self, endpoint: str, *, is_refused: bool = False) -> str:
        """See `Azure`."""
        self._parent(f"get a key of endpoint {endpoint}", endpoint)
        self._key += is_refused
        return f"key {self._key} of {endpoint}"

    def read_vm_sizes(self, location: str) -> dict[str, VmSize]:  # noqa: ARG002  # there is one region
        """See `Azure`."""
        sizes = {size.name.lower(): size for size in self.vm_sizes}
        used: Counter[str] = Counter()
        for there in (one.resource for found in self._endpoints.values() for one in found.deployments.values()):
            if size := sizes.get(str(there["properties"].get("instanceType")).lower()):
                used[size.family] += size.cores_of(there["sku"]["capacity"])
        return {name: size.model_copy(update={"used": size.used + used[size.family]}) for name, size in sizes.items()}

    def read_autoscaled(self, endpoint: str) -> set[str]:
        """See `Azure`."""
        return {deployment for name, deployment in self.autoscaled if name == endpoint.lower()}

    def open_code(self, code: str) -> MemoryFolder:
        """See `Azure`."""
        if code not in self.codes:
            refuse("look up the code", "it was not found", 404)
        return MemoryFolder(self.codes[code])

    def read_environment(self, environment: str) -> Resource:
        """See `Azure`."""
        if environment not in self.environments:
            refuse("look up the environment", "it was not found", 404)
        return self.environments[environment]

    def list_models(self) -> list[str]:
        """See `Azure`."""
        return sorted({model.name for model in self.models})

    def list_model_versions(self, model: str) -> list[RegisteredModel]:
        """See `Azure`."""
        return [found for found in reversed(self.models) if found.name == model]

    def resolve(self, kind: str, asset: str) -> str:
        """See `Azure`."""
        if label_of(asset) is None:
            return asset
        if asset not in self.versions:
            refuse(f"look up {kind} {asset}", "it was not found", 404)
        return with_version(asset, self.versions[asset])

    # rules

    def _parent(self, action: str, endpoint: str) -> Endpoint:
        if (found := self.look(endpoint)) is None:
            refuse(action, f"the online endpoint '{endpoint}' was not found", 404)
        return found

    def _set(self, endpoint: str, new: Endpoint | None) -> None:
        if self.late_reads:
            self._before[endpoint.lower()] = self.late_reads, self.look(endpoint)
        if new is None:
            del self._endpoints[endpoint.lower()]
        else:
            self._endpoints[endpoint.lower()] = new
        self.changed()

    def _failure(self) -> Failure | None:
        failure, self.fails_next = self.fails_next, None
        return failure

    def _check_idle(self, action: str, endpoint: str, *deployments: str) -> None:
        for name in deployments or [""]:
            if (endpoint.lower(), name.lower()) in self._held:
                msg = f"could not {action}: Conflict: it is being changed by another operation"
                raise Busy(msg, status=409)

    def _check_instances(self, action: str, parent: Endpoint, name: str, count: int) -> None:
        if not parent.is_kubernetes:
            others = [
                there.resource["sku"]["capacity"]
                for found in self._endpoints.values()
                if not found.is_kubernetes
                for key, there in found.deployments.items()
                if found is not parent or key != name.lower()
            ]
            rules.check_quota(action, count, sum(others), self._quota)
        rules.check_instance_count(action, count)


def _settled(resource: Resource, state: str = "Succeeded", *, name: str = "", **properties: Any) -> Resource:
    """A copy of a resource in a final state, under its name if it is new."""
    named = {"name": name} if name else {}
    kept = resource["properties"]
    traffic = {key: dict(kept[key]) for key in ("traffic", "mirrorTraffic") if key in kept}
    return (
        resource
        | named
        | {
            "tags": dict(resource.get("tags") or {}),
            "properties": kept | traffic | properties | {"provisioningState": state},
        }
    )


def _raise_if(failure: Failure | None, action: str) -> None:
    if failure:
        msg = f"could not {action}: InternalServerError: the operation has failed"
        raise AzureFailed(msg, status=200)
