"""What the rollout knows of an endpoint: plain values, without Azure's client."""

import hashlib
import json
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Value(BaseModel):
    """An immutable value that Prefect can keep as JSON."""

    model_config = ConfigDict(frozen=True)


class DeploymentState(Value):
    """A deployment as Azure shows it."""

    name: str
    instance_count: int
    provisioning_state: str
    instance_type: str = ""
    """The VM size of a managed deployment."""
    model: str = ""
    code: str = ""
    environment: str = ""
    code_id: str = ""
    """The resource id of the code, which names it in Azure."""
    environment_id: str = ""
    settings: str = ""
    """16 hex digits over its variables, probes and whatever else of it is set; empty where nothing is."""
    scales_itself: bool = False
    """Whether its own settings let it follow its load, as on Kubernetes."""
    tags: dict[str, str] = Field(default={})

    @property
    def broken(self) -> bool:
        """Whether Azure could not bring it up."""
        return self.provisioning_state in ("Failed", "Canceled")

    @property
    def digest(self) -> str:
        """12 hex digits over what it is made of as Azure shows it; not over how many instances it has."""
        return _digest([*(part.lower() for part in self._parts), self.settings])  # of names Azure minds no case

    def is_as(self, digest: str) -> bool:
        """Whether the digest is this one's, or what an earlier version made of it, which left out the settings."""
        return digest in (self.digest, _digest(self._parts))

    @property
    def _parts(self) -> list[str]:
        return [self.model, self.code, self.environment, self.instance_type]

    def has(self, tags: dict[str, str]) -> bool:
        """Whether it has all these tags."""
        return tags.items() <= self.tags.items()


class EndpointState(Value):
    """An endpoint with its deployments as Azure shows them; traffic without its zeros."""

    name: str
    scoring_uri: str
    provisioning_state: str
    traffic: dict[str, int]
    mirror_traffic: dict[str, int]
    tags: dict[str, str]
    deployments: dict[str, DeploymentState]
    resource_id: str = ""
    location: str = ""

    def mirror_without(self, *deployments: str) -> dict[str, int]:
        """What is mirrored to others than these deployments."""
        return {name: share for name, share in self.mirror_traffic.items() if name not in deployments}


class Baseline(Value):
    """The endpoint as it was before the rollout."""

    live: str
    instance_count: int
    """How many instances the live deployment had."""

    @property
    def traffic(self) -> dict[str, int]:
        """The traffic to go back to."""
        return {self.live: 100}


Choice = Literal["approve", "reject"]
"""What a person chooses at an approval."""


class Decision(Value):
    """What a person answered at an approval, and on which evidence."""

    model_config = ConfigDict(validate_by_name=True, serialize_by_alias=True)

    share: int = Field(alias="stage")
    """The traffic that was asked for, in percent."""
    decision: Literal["approve", "reject", "skip judge"]
    approver: str
    comment: str = ""
    at: datetime
    evidence: str
    """Digest of the evidence that was shown."""
    rollout: str = ""
    """The rollout that it was asked for; empty in a record of an earlier version, which counts for nothing."""
    flow_run: str = ""
    """The flow run that asked: Prefect keeps the answer among its inputs."""
    proof: str = "none"
    """How the approver's name was proven: `none` means that it is self-declared."""
    identity: str = ""
    """Issuer and subject of the approver's sign-in, which no other person has; empty where nobody signed in."""
    revision: str = ""
    """The revision of the candidate that it is about."""
    deployment: str = ""
    """Digest of the candidate as Azure showed it when the question was asked."""
    others: tuple["Decision", ...] = ()
    """The approvals by other people before this one, where several were needed."""
    signature: str = ""
    """By a worker's key, over what a tag holds; empty where no key is configured."""

    @property
    def all(self) -> tuple["Decision", ...]:
        """This one and those before it, in order."""
        return (*self.others, self.model_copy(update={"others": ()}))


def _digest(made_of: list[str]) -> str:
    return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:12]


def describe(traffic: dict[str, int]) -> str:
    """Traffic as people write it: `blue=90 green=10`."""
    return " ".join(f"{name}={percent}" for name, percent in sorted(traffic.items())) or "none"
