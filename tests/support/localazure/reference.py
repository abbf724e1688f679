"""The rules of endpoints and deployments, as the rollout's twin of Azure has them: local Azure is compared with it."""

from typing import Any, Literal

from saferollout.azure.memory import Failure, Memory
from saferollout.azure.memory_state import Deployment
from saferollout.azure.port import Resource
from saferollout.domain.errors import AzureFailed

Outcome = Literal["ok", "failed"] | int
"""How a change ends: well, as an operation that failed, or refused with a status."""
Fate = Literal["fail-before", "fail-after"] | None
"""What shall become of the operation."""

KUBERNETES = "kube"
"""The endpoint of this name is one of Kubernetes, all others are managed."""

_FAILURES: dict[Fate, Failure] = {"fail-before": "before", "fail-after": "after"}


class Reference:
    """What a workspace should be like after the changes that it was told of."""

    def __init__(self) -> None:
        self.azure = Memory()

    def set_endpoint(self, name: str, change: dict[str, Any], fate: Fate = None) -> Outcome:
        """Create the endpoint, or change its `traffic`, `mirror` or `tags`."""
        compute = "my-cluster" if name == KUBERNETES else None
        new: Resource = {"tags": {}, "properties": {"traffic": {}, "mirrorTraffic": {}, "compute": compute}}
        resource = self.azure.read_endpoint(name) or new
        for key, value in change.items():
            if key == "tags":
                resource["tags"] = value
            else:
                resource["properties"][{"mirror": "mirrorTraffic"}.get(key, key)] = value
        return self._outcome(fate, lambda: self.azure.put_endpoint(name, resource))

    def set_deployment(self, endpoint: str, name: str, model: int, count: int, fate: Fate = None) -> Outcome:
        """Create or change a deployment."""
        resource = {"sku": {"capacity": count}, "properties": {"model": model}}
        return self._outcome(fate, lambda: self.azure.put_deployment(endpoint, name, resource))

    def scale(self, endpoint: str, name: str, count: int, fate: Fate = None) -> Outcome:
        """Give a deployment so many instances."""
        return self._outcome(fate, lambda: self.azure.scale_deployment(endpoint, name, count))

    def delete_deployment(self, endpoint: str, name: str, fate: Fate = None) -> Outcome:
        """Delete a deployment, whether it is there or not."""
        return self._outcome(fate, lambda: self.azure.delete_deployment(endpoint, name))

    def delete_endpoint(self, name: str, fate: Fate = None) -> Outcome:
        """Delete an endpoint with all that it has, whether it is there or not."""
        return self._outcome(fate, lambda: self.azure.delete_endpoint(name))

    def answering(self, endpoint: str, pinned: str | None) -> set[int]:
        """The models of which one answers a request; none: it is a 404."""
        if (found := self.azure.look(endpoint)) is None:
            return set()
        names = (
            [pinned] if pinned else [name for name, share in found.resource["properties"]["traffic"].items() if share]
        )
        served = (found.deployments.get(name) for name in names)
        return {there.serving["properties"]["model"] for there in served if there and there.serving}

    def observe(self) -> dict[str, Any]:
        """All that there is, as the clients show it."""
        return {
            name: {
                "traffic": _positive(found.resource["properties"]["traffic"]),
                "mirror": _positive(found.resource["properties"]["mirrorTraffic"]),
                "tags": found.resource["tags"],
                "state": found.resource["properties"]["provisioningState"],
                "deployments": {key: _deployment(there) for key, there in found.deployments.items()},
            }
            for name in (str(endpoint["name"]) for endpoint in self.azure.list_endpoints())
            if (found := self.azure.look(name))
        }

    def _outcome(self, fate: Fate, change: Any) -> Outcome:
        self.azure.fails_next = _FAILURES.get(fate)
        try:
            change()
        except AzureFailed as error:
            return error.status if error.status and error.status >= 400 else "failed"
        finally:
            self.azure.fails_next = None
        return "ok"


def _positive(shares: dict[str, int]) -> dict[str, int]:
    return {name: share for name, share in shares.items() if share}


def _deployment(found: Deployment) -> tuple[int, int, str]:
    properties = found.resource["properties"]
    return properties["model"], found.resource["sku"]["capacity"], properties["provisioningState"]
