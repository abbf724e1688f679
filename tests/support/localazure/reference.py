"""The rules of endpoints and deployments, in as few lines as they can be written: what local Azure is compared with."""

from dataclasses import dataclass, field
from typing import Any, Literal

Outcome = Literal["ok", "failed"] | int
"""How a change ends: well, as an operation that failed, or refused with a status."""
Fate = Literal["fail-before", "fail-after"] | None
"""What shall become of the operation."""

Share = dict[str, int]

KUBERNETES = "kube"
"""The endpoint of this name is one of Kubernetes, all others are managed."""


@dataclass
class Deployment:
    """As it is shown, and the model that it serves: that of the last change that took effect."""

    model: int
    count: int
    state: str = "Succeeded"
    serving: int | None = None


@dataclass
class Endpoint:
    """As it is shown."""

    traffic: Share = field(default_factory=dict)
    mirror: Share = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    state: str = "Succeeded"
    deployments: dict[str, Deployment] = field(default_factory=dict)


class Reference:
    """What a workspace should be like after the changes that it was told of."""

    MAX_COUNT = 50

    def __init__(self) -> None:
        self.endpoints: dict[str, Endpoint] = {}

    def set_endpoint(self, name: str, change: dict[str, Any], fate: Fate = None) -> Outcome:
        """Create the endpoint, or change its `traffic`, `mirror` or `tags`."""
        old = self.endpoints.get(name)
        new = Endpoint(**{**(vars(old) if old else {}), **change, "state": "Succeeded"})
        if not self._may_split(new) or (name == KUBERNETES and new.mirror):
            return 400
        if fate:
            new.state = "Failed"
            if fate == "fail-before" and old:
                new = Endpoint(**{**vars(old), "state": "Failed"})
        self.endpoints[name] = new
        return "failed" if fate else "ok"

    def set_deployment(self, endpoint: str, name: str, model: int, count: int, fate: Fate = None) -> Outcome:
        """Create or change a deployment."""
        if endpoint not in self.endpoints:
            return 404
        if count < 1 or (count > self.MAX_COUNT and endpoint != KUBERNETES):
            return 400
        deployments = self.endpoints[endpoint].deployments
        old = deployments.get(name)
        effective = fate != "fail-before"
        serving = model if effective else (old.serving if old else None)
        deployments[name] = Deployment(model, count, "Failed" if fate else "Succeeded", serving)
        return "failed" if fate else "ok"

    def scale(self, endpoint: str, name: str, count: int, fate: Fate = None) -> Outcome:
        """Give a deployment so many instances."""
        found = self._deployment(endpoint, name)
        return self.set_deployment(endpoint, name, found.model, count, fate) if found else 404

    def delete_deployment(self, endpoint: str, name: str, fate: Fate = None) -> Outcome:
        """Delete a deployment, whether it is there or not."""
        found = self._deployment(endpoint, name)
        if not found:
            return "ok"
        parent = self.endpoints[endpoint]
        if parent.traffic.get(name) or parent.mirror.get(name):
            return 400
        if fate == "fail-before":
            found.state = "Failed"
        else:
            del parent.deployments[name]
        return "failed" if fate else "ok"

    def delete_endpoint(self, name: str, fate: Fate = None) -> Outcome:
        """Delete an endpoint with all that it has, whether it is there or not."""
        if name not in self.endpoints:
            return "ok"
        if fate == "fail-before":
            self.endpoints[name].state = "Failed"
        else:
            del self.endpoints[name]
        return "failed" if fate else "ok"

    def answering(self, endpoint: str, pinned: str | None) -> set[int]:
        """The models of which one answers a request; none: it is a 404."""
        found = self.endpoints.get(endpoint, Endpoint())
        names = [pinned] if pinned else [name for name, share in found.traffic.items() if share]
        served = (self._deployment(endpoint, name) for name in names)
        return {deployment.serving for deployment in served if deployment and deployment.serving}

    def _deployment(self, endpoint: str, name: str) -> Deployment | None:
        return self.endpoints[endpoint].deployments.get(name) if endpoint in self.endpoints else None

    def _may_split(self, endpoint: Endpoint) -> bool:
        ready = {name for name, deployment in endpoint.deployments.items() if deployment.serving}
        mirrored = endpoint.mirror
        return (
            {*endpoint.traffic, *mirrored} <= ready
            and sum(endpoint.traffic.values()) in (0, 100)
            and len(mirrored) <= 1
            and all(share <= 50 for share in mirrored.values())
            and not set(endpoint.traffic) & set(mirrored)
        )
