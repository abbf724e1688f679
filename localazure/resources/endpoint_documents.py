"""Endpoints as clients ask for them, as they are answered, and as they are kept."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from localazure.arm.documents import Body, Document, Identity, SystemData, TrackedBody, TrackedResource
from localazure.compute.properties import Compute, State
from localazure.core.store import Store
from localazure.core.tables import Table

AuthMode = Literal["Key", "AMLToken", "AADToken"]


class KeysBody(Body):
    """The keys that a client chooses for a new endpoint."""

    primary_key: Any = None
    secondary_key: Any = None


class EndpointPropertiesBody(Body):
    """What a client asks of an endpoint."""

    description: Any = None
    properties: dict[str, Any] | None = None
    provisioning_state: Any = None
    auth_mode: Any = None
    keys: KeysBody | None = None
    scoring_uri: Any = None
    swagger_uri: Any = None
    compute: Any = None
    traffic: dict[str, Any] | None = None
    mirror_traffic: dict[str, Any] | None = None
    public_network_access: Any = None


class EndpointBody(TrackedBody):
    """The body of PUT."""

    properties: EndpointPropertiesBody | None = None


class EndpointPatch(Body):
    """The body of PATCH: tags and identity are replaced where they are given, be it by nothing."""

    tags: dict[str, Any] | None = None
    identity: Identity | None = None


class KeyBody(Body):
    """Which key a client wants to have regenerated."""

    key_type: Any = None
    key_value: Any = None


class EndpointProperties(Document):
    """The properties of an endpoint. Traffic is in percent, by deployment."""

    auth_mode: AuthMode
    description: Any
    properties: dict[str, Any]
    public_network_access: str
    traffic: dict[str, int]
    mirror_traffic: dict[str, int]
    compute: str | None
    provisioning_state: State
    scoring_uri: str | None = None
    """This address and the next are not kept: they are where local Azure is reached now."""
    swagger_uri: str | None = None


class Endpoint(TrackedResource):
    """An endpoint, as Azure's management API shows it."""

    identity: Identity
    properties: EndpointProperties
    system_data: SystemData

    @property
    def compute(self) -> Compute:
        """What its deployments run on."""
        return "Kubernetes" if self.properties.compute else "Managed"

    @property
    def deleting(self) -> bool:
        """Whether it and all that it has are being deleted."""
        return self.properties.provisioning_state == "Deleting"


class EndpointState(Document):
    """What is kept of an endpoint."""

    resource: Endpoint
    keys: list[str]
    """The primary and the secondary one."""
    scored_at: str | None = Field(default=None, alias="scored_at")
    """The path that its last deployment is scored at."""
    operation: str | None = None
    """The id of the last one; None in states of an older version."""
    previous: Self | None = None
    """What it was before the change that is under way; None where there is none, and while it is created."""
    effective: bool = True
    """Whether it is in force: a change that is under way may not have taken effect yet."""

    @model_validator(mode="before")
    @classmethod
    def _of_older_version(cls, state: Any) -> Any:
        """Read a state of an older version: in it, `effective` says nothing once a change has ended.

        Returns:
            The state as it is written now: the end of a change had taken `previous` away.
        """
        return {**state, "effective": True} if isinstance(state, dict) and "previous" not in state else state

    @property
    def in_force(self) -> Self | None:
        """What the gateway goes by; None before the endpoint has been created."""
        return self if self.effective else self.previous

    def score_at(self, path: str) -> None:
        """Let the scoring address lead to `path`: to where the last deployment is scored, as on Azure."""
        self.scored_at = path
        if self.previous:
            self.previous.scored_at = path


def endpoints_table(store: Store) -> Table[EndpointState]:
    """Return all endpoints by their name in lower case."""
    return Table(store, "endpoint", EndpointState)
