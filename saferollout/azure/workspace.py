"""Azure Machine Learning, as the rollout needs it: observe, and change until Azure shows the change.

Every change is a reconciliation: nothing is sent when Azure already shows what is wanted, and what is sent is read
back until it does. So each is simply made again when Azure refused the token, or was busy with another change.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from saferollout.azure import folders
from saferollout.azure.port import Azure, NewDeployment, Resource
from saferollout.azure.reading import FINAL, is_final, required, unless_shown, until
from saferollout.azure.resources import endpoint_state, writable
from saferollout.azure.retries import sign_in_anew, wait_for_others
from saferollout.azure.yaml_export import Written, deployment_yaml, endpoint_yaml
from saferollout.domain.endpoint import EndpointState, describe
from saferollout.domain.errors import AzureFailed, Busy, DeploymentFailed, Drifted, Refused
from saferollout.domain.file_change import FileChange
from saferollout.domain.registered_model import RegisteredModel
from saferollout.domain.vm_size import VmSize
from saferollout.domain.words import plural

T = TypeVar("T")

STALE_S = 300.0
Tags = dict[str, str]


class Workspace:
    """An Azure ML workspace behind any port. One instance serves one thread."""

    def __init__(self, azure: Azure) -> None:
        self._azure = azure

    @property
    def operation_timeout_s(self) -> float:
        """How long one operation may take, and the wait for another one."""
        return self._azure.operation_timeout_s

    @property
    def drain_s(self) -> float:
        """How long gateways and requests under way may take to leave a deployment that no longer gets traffic."""
        return self._azure.drain_s

    def settle(self, took_s: float) -> None:
        """Wait until every change that somebody sent before has arrived; one that has been read back took `took_s`."""
        self._azure.settle(took_s)

    @sign_in_anew
    def observe(self, endpoint: str) -> EndpointState | None:
        """The endpoint with its deployments, or None if there is no such endpoint."""
        if (shown := self._azure.read_endpoint(endpoint)) is None:
            return None
        deployments = self._azure.list_deployments(endpoint)
        return None if deployments is None else endpoint_state(shown, deployments)

    @sign_in_anew
    def endpoints(self, *, with_tag: str = "") -> list[str]:
        """The names of all endpoints in the workspace, or of those that have a tag; with one call."""
        shown = self._azure.list_endpoints()
        return [str(endpoint["name"]) for endpoint in shown if not with_tag or with_tag in (endpoint.get("tags") or {})]

    @sign_in_anew
    def models(self) -> list[str]:
        """The names of all registered models."""
        return self._azure.list_models()

    @sign_in_anew
    def model_versions(self, model: str) -> list[RegisteredModel]:
        """The versions of a registered model, the newest first; with one call."""
        return self._azure.list_model_versions(model)

    def get_endpoint(self, endpoint: str) -> EndpointState:
        """Return what `observe` shows of an endpoint that is there.

        Raises:
            Missing: There is no such endpoint.
        """
        return required(endpoint, self.observe(endpoint))

    @sign_in_anew
    def written(self, endpoint: str) -> tuple[dict[str, Any], dict[str, Written]]:
        """The Azure ML YAML that would make the endpoint again, and each of its deployments, by their names."""
        shown = required(endpoint, self._azure.read_endpoint(endpoint))
        deployments = self._azure.list_deployments(endpoint) or []
        return endpoint_yaml(shown), {each["name"]: deployment_yaml(each, endpoint) for each in deployments}

    @sign_in_anew
    def secret(self, endpoint: str, *, is_refused: bool = False) -> str:
        """What the endpoint's `Authorization: Bearer` header takes; never log it.

        `is_refused` says that the endpoint does not take the one it gave before: a token is not given a second time.
        """
        return self._azure.secret(endpoint, is_refused=is_refused)

    @sign_in_anew
    def resolve(self, assets: Mapping[str, str]) -> dict[str, str]:
        """The registered `model` and `environment` with the version that each label is on now."""
        return {kind: self._azure.resolve(kind, asset) for kind, asset in assets.items()}

    @sign_in_anew
    def vm_sizes(self, location: str) -> dict[str, VmSize]:
        """The VM sizes of a region whose quota Azure shows, by their names in small letters."""
        return self._azure.read_vm_sizes(location)

    @sign_in_anew
    def compare_code(self, old: str, new: str) -> list[FileChange]:
        """The files that are not the same in two code assets, by the assets' resource ids."""
        return folders.compare(self._azure.open_code(old), self._azure.open_code(new))

    @sign_in_anew
    def environment(self, environment: str) -> Resource:
        """An environment's version by its resource id."""
        return self._azure.read_environment(environment)

    @sign_in_anew
    def autoscaled(self, endpoint: str) -> set[str]:
        """The endpoint's deployments that an enabled autoscale setting of Azure Monitor scales, in small letters."""
        return self._azure.read_autoscaled(endpoint)

    def load_deployment(self, path: Path, endpoint: str, name: str, *, assets: Mapping[str, str]) -> NewDeployment:
        """A deployment as `create_deployment` would read it, without calling Azure."""
        return self._azure.load_deployment(path, name=name, endpoint=endpoint, assets=assets)

    @wait_for_others
    @sign_in_anew
    def create_endpoint(self, path: Path) -> None:
        """Create the endpoint of an Azure ML YAML, without traffic, unless it exists.

        Raises:
            AzureFailed: It did not come up.
        """
        wanted = self._azure.load_endpoint(path)
        wanted.traffic = {}  # its deployments do not exist yet
        if self.observe(wanted.name) is None:
            self._azure.create_endpoint(wanted)
        until(lambda: self.observe(wanted.name), f"endpoint {wanted.name}", self.operation_timeout_s)
        state = self._read_back(
            wanted.name, lambda state: state.provisioning_state in FINAL, f"a final state of endpoint {wanted.name}"
        )
        if state.provisioning_state != "Succeeded":
            msg = f"endpoint {wanted.name} did not come up: it is {state.provisioning_state}"
            raise AzureFailed(msg)

    def update_endpoint(
        self,
        endpoint: str,
        *,
        traffic: dict[str, int] | None = None,
        check: Callable[[EndpointState], None] = lambda _: None,
        mirror: dict[str, int] | None = None,
        tags: Callable[[Tags], Tags] = dict,
    ) -> None:
        """Set traffic, mirrored traffic and tags in one change; everything else stays as it was read.

        Zeros are not written back: Azure keeps those of deployments that are gone, and refuses an update that has them.

        `check` gets the endpoint, without its deployments, as it is just before, and raises where it is not to be
        changed.

        Raises:
            Drifted: Somebody else's change overwrote this one.
        """
        self._update_endpoint(endpoint, traffic, check, mirror, unless_shown(tags))

    @wait_for_others
    @sign_in_anew
    def _update_endpoint(
        self,
        endpoint: str,
        traffic: dict[str, int] | None,
        check: Callable[[EndpointState], None],
        mirror: dict[str, int] | None,
        tags: Callable[[Tags], Tags],
    ) -> None:
        def read() -> Resource:
            return required(endpoint, self._azure.read_endpoint(endpoint))

        def settled() -> Resource | None:
            shown = read()
            return shown if endpoint_state(shown).provisioning_state in FINAL else None

        shown = until(settled, f"a final state of endpoint {endpoint}", self.operation_timeout_s)
        old = endpoint_state(shown)
        wanted = old.traffic if traffic is None else traffic
        new_mirror = old.mirror_traffic if mirror is None else mirror
        new_tags = tags(dict(old.tags))
        check(old)
        if (wanted, new_mirror, new_tags) != (old.traffic, old.mirror_traffic, old.tags):
            changed_resource = writable(shown) | {"tags": new_tags}
            # without zeros, which Azure refuses once their deployment is gone
            changed_resource["properties"] |= {"traffic": wanted, "mirrorTraffic": new_mirror}
            self._azure.put_endpoint(endpoint, changed_resource)
        changed = {name for name in old.tags.keys() | new_tags.keys() if old.tags.get(name) != new_tags.get(name)}

        def shows() -> bool:
            state = endpoint_state(read())
            seen: list[tuple[Any, Any, Any]] = [(state.traffic, old.traffic, wanted)]
            if new_mirror != old.mirror_traffic:
                seen += [(state.mirror_traffic, old.mirror_traffic, new_mirror)]
            seen += [(state.tags.get(name), old.tags.get(name), new_tags.get(name)) for name in changed]
            if any(value not in (before, after) for value, before, after in seen):  # an old value is only a late read
                msg = f"somebody else changed endpoint {endpoint} at the same time; its traffic is "
                raise Drifted(msg + describe(state.traffic))
            return all(value == after for value, _, after in seen)

        # longer than a late read takes, the old values mean that somebody's update has overwritten this one
        until(shows, f"traffic {describe(wanted)}", STALE_S, retryable=True)

    @wait_for_others
    @sign_in_anew
    def create_deployment(
        self,
        path: Path,
        endpoint: str,
        name: str,
        *,
        assets: Mapping[str, str],
        tags: dict[str, str],
        min_instance_count: int = 1,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """Create a deployment from its Azure ML YAML under `name`; it gets no traffic.

        The registered `assets` take the place of what the YAML says. A deployment that exists with the same tags is
        waited for; any other is replaced if it has no traffic. `check` is called before and after what is local is
        read, and raises when that is not what it should be.

        Raises:
            AzureFailed: Azure refused or failed.
            DeploymentFailed: It does not come up; the message has Azure's code and the end of its log.
        """
        there = self.get_endpoint(endpoint).deployments.get(name)
        if there is None or not there.has(tags):
            check()
        wanted = self.load_deployment(path, endpoint, name, assets=assets)
        wanted.instance_count = max(int(wanted.instance_count or 1), min_instance_count)
        wanted.tags = dict(wanted.tags or {}) | tags
        if there and not there.has(tags):
            self.delete_deployment(endpoint, name)
            there = None
        problem = ""
        if there is None:
            problem = "did not come up: its creation failed"
            try:
                self._azure.create_deployment(wanted, check)
            except AzureFailed as error:
                if error.retryable or error.status == 401 or isinstance(error, Busy):
                    raise
                problem = f"did not come up: {error}"
                shown = self.get_endpoint(endpoint).deployments.get(name)
                if shown is None or not shown.broken:
                    raise
        state = self._read_back(endpoint, lambda state: is_final(state, name), f"a final state of {name}")
        if (shown_state := state.deployments[name].provisioning_state) != "Succeeded":
            msg = f"deployment {name} {problem or f'is {shown_state}'}{self._last_words(endpoint, name)}"
            raise DeploymentFailed(msg)

    def scale_up(self, endpoint: str, name: str, instance_count: int) -> None:
        """Give a deployment at least this many instances; more than that, as from an autoscaler, stay."""
        self._scale(endpoint, name, lambda shown: max(shown, instance_count))

    def scale_back(self, endpoint: str, name: str, instance_count: int, *, instead_of: int) -> None:
        """Give a deployment this many instances if it still has `instead_of`; any other number is somebody else's."""
        self._scale(endpoint, name, lambda shown: instance_count if shown == instead_of else shown)

    @wait_for_others
    @sign_in_anew
    def _scale(self, endpoint: str, name: str, wanted_of: Callable[[int], int]) -> None:
        """Change the number of instances by `wanted_of`; a change that failed before is made again.

        Raises:
            DeploymentFailed: The deployment is broken afterwards.
            Refused: It is gone.
        """
        state = self.settled(endpoint, name)
        gone = f"deployment {name} of {endpoint} is gone: somebody else deleted it"
        if (there := state.deployments.get(name)) is None:
            raise Refused(gone)
        before, wanted = there.instance_count, wanted_of(there.instance_count)
        if before != wanted or there.provisioning_state != "Succeeded":
            self._azure.scale_deployment(endpoint, name, wanted)

        def shows(state: EndpointState) -> bool:
            if name not in state.deployments:
                raise Refused(gone)
            # the old number is only a late read; a third one is an autoscaler's, which goes on by itself
            return is_final(state, name) and (before == wanted or state.deployments[name].instance_count != before)

        state = self._read_back(endpoint, shows, f"{plural(wanted, 'instance')} of {name}")
        if (shown_state := state.deployments[name].provisioning_state) != "Succeeded":
            msg = f"deployment {name} is {shown_state} after it was scaled{self._last_words(endpoint, name)}"
            raise DeploymentFailed(msg)

    @wait_for_others
    @sign_in_anew
    def delete_deployment(self, endpoint: str, name: str) -> None:
        """Delete a deployment unless it is gone.

        Raises:
            Refused: It has traffic.
        """
        state = self.settled(endpoint, name)
        if state.traffic.get(name) or state.mirror_traffic.get(name):
            msg = f"deployment {name} has traffic and is not deleted; move the traffic away first"
            raise Refused(msg)
        if name in state.deployments:
            self._azure.delete_deployment(endpoint, name)
        self._read_back(endpoint, lambda state: name not in state.deployments, f"{name} gone")

    @wait_for_others
    @sign_in_anew
    def delete_endpoint(self, endpoint: str) -> None:
        """Delete an endpoint with all its deployments unless it is gone."""
        if self.observe(endpoint) is not None:
            self._azure.delete_endpoint(endpoint)
        until(lambda: self.observe(endpoint) is None, f"{endpoint} gone", self.operation_timeout_s)

    def _last_words(self, endpoint: str, name: str) -> str:
        last = self._azure.last_words(endpoint, name)
        return f" | log: {last}" if last else ""

    def settled(self, endpoint: str, *deployments: str) -> EndpointState:
        """The endpoint, once it and each of the deployments that is not gone are in a final state.

        Before that Azure shows the old traffic, and nobody knows which tags.
        """
        return self._read_back(
            endpoint,
            lambda state: (
                state.provisioning_state in FINAL
                and all(name not in state.deployments or is_final(state, name) for name in deployments)
            ),
            f"a final state of {' and '.join((f'endpoint {endpoint}', *deployments))}",
        )

    def _read_back(self, endpoint: str, shows: Callable[[EndpointState], bool], wanted: str) -> EndpointState:
        def look() -> EndpointState | None:
            state = self.get_endpoint(endpoint)
            return state if shows(state) else None

        return until(look, wanted, self.operation_timeout_s)
