"""Typed documents: the bodies that clients send, and the resources and states that are kept."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from localazure.arm.errors import BadRequest, NotSupported

Json = dict[str, Any]


class Document(BaseModel):
    """A resource or a state. What has never been set is left out when it is written or answered."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    def as_json(self) -> Json:
        """Return what clients get."""
        return self.model_dump(by_alias=True, exclude_unset=True)


class Body(BaseModel):
    """What a client sends, or an object in it: all properties that local Azure knows, as the clients serialise them.

    Most values may be anything here; each resource has its rules for them. A property without a value says nothing, and
    may have any name.
    """

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _without_nothing(cls, body: Any) -> Any:
        if not isinstance(body, dict):
            return body
        known = {field.alias for field in cls.model_fields.values()}
        return {key: value for key, value in body.items() if value is not None or key in known}

    @classmethod
    def parse(cls, body: Json) -> Self:
        """Return the body as the model.

        Raises:
            NotSupported: Local Azure does not know a property.
            BadRequest: A value is of the wrong kind. What comes first in the body is reported.
        """
        try:
            return cls.model_validate(body)
        except ValidationError as error:
            found = min(error.errors(include_url=False), key=lambda found: _place(body, found["loc"]))
            path = ".".join(map(str, found["loc"]))
            if found["type"] == "extra_forbidden":
                raise NotSupported(f"the property '{path}' of the request body") from error
            kind = "a string" if found["type"] == "string_type" else "an object"
            raise BadRequest(f"'{path}' must be {kind}, not {found['input']!r}.") from error

    def changes(self) -> dict[str, Any]:
        """Return the properties that were given, be it without a value, by the names of their fields."""
        return {name: getattr(self, name) for name in type(self).model_fields if name in self.model_fields_set}

    def present(self) -> dict[str, Any]:
        """Return the properties that have a value, by the names of their fields."""
        return {name: value for name, value in self.changes().items() if value is not None}


class SystemData(Document):
    """When a resource was made and changed, and by whom."""

    created_at: str
    created_by: str
    created_by_type: str = ""
    last_modified_at: str
    last_modified_by: str = ""
    last_modified_by_type: str = ""

    def brief(self) -> "SystemData":
        """Return what endpoints and deployments show of it."""
        return SystemData(
            created_at=self.created_at, created_by=self.created_by, last_modified_at=self.last_modified_at
        )


class Identity(Body):
    """Whom a resource acts as."""

    type: Any = None
    principal_id: Any = None
    tenant_id: Any = None
    user_assigned_identities: dict[str, Any] | None = None


class Sku(Body):
    """How much of it there is."""

    name: Any = None
    tier: Any = None
    size: Any = None
    family: Any = None
    capacity: Any = None


class ResourceBody(Body):
    """What any resource may carry."""

    id: Any = None
    name: Any = None
    type: Any = None
    system_data: Any = None


class TrackedBody(ResourceBody):
    """What a resource may carry that has a place and tags."""

    location: Any = None
    tags: dict[str, Any] | None = None
    kind: Any = None
    identity: Identity | None = None


class TrackedResource(Document):
    """What every resource that has a place and tags shows first."""

    id: str
    name: str
    type: str
    location: Any
    tags: dict[str, Any]
    kind: Any


def _place(body: Any, path: tuple[int | str, ...]) -> list[int]:
    """Return where a property is: the first of two comes first in the body."""
    places = []
    for name in path:
        places.append(list(body).index(name))
        body = body[name]
    return places
