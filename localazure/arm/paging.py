"""Lists, as Azure answers them: filtered, ordered, and a page at a time."""

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from localazure.arm.documents import Json, SystemData
from localazure.arm.errors import BadRequest, NotSupported

DEFAULT_PAGE = 100
MAX_PAGE = 1000

_UNLESS_ASKED = {"listViewType": "ActiveOnly"}


class Listed(Protocol):
    """What lists are made of."""

    @property
    def system_data(self) -> SystemData | None:
        """When it was changed."""

    def as_json(self) -> Json:
        """Return what clients get."""


R = TypeVar("R", bound=Listed)

Filter = Callable[[R, str], bool]


def page(request: Request, resources: Iterable[R], filters: Mapping[str, Filter[R]], size: str = "$top") -> Response:
    """Return one page of `resources`, which come oldest first; the last page has no `nextLink`.

    Args:
        request: Whose query parameters say what is wanted.
        resources: All that there are.
        filters: The query parameters that choose among them.
        size: The query parameter that gives the size of a page.

    Raises:
        NotSupported: Local Azure does not know a parameter.
        BadRequest: A value is not valid.
    """
    query = request.query_params
    for name in query:
        if name not in ("api-version", "$skip", "$orderBy", "orderBy", size, *filters):
            raise NotSupported(f"the query parameter '{name}' of {request.url.path}")
    found = list(resources)
    for name, keep in filters.items():
        if wanted := query.get(name) or _UNLESS_ASKED.get(name):
            found = [resource for resource in found if keep(resource, wanted)]
    found = _ordered(found, query.get("$orderBy") or query.get("orderBy") or "")
    start = _start(query.get("$skip"))
    length = _length(query.get(size), size)
    body: Json = {"value": [resource.as_json() for resource in found[start : start + length]]}
    if start + length < len(found):
        token = base64.urlsafe_b64encode(str(start + length).encode()).decode()
        body["nextLink"] = str(request.url.include_query_params(**{"$skip": token}))
    return JSONResponse(body)


def pairs(where: Callable[[R], dict[str, Any] | None]) -> Filter[R]:
    """Return a filter by tags or properties: `key1,key2=value`, all of which must be there."""

    def keep(resource: R, wanted: str) -> bool:
        found = where(resource) or {}
        for part in wanted.split(","):
            key, equals, value = part.strip().partition("=")
            if key not in found or (equals and str(found[key]) != value):
                return False
        return True

    return keep


def view(archived: Callable[[R], bool]) -> Filter[R]:
    """Return the filter `listViewType`: ActiveOnly, ArchivedOnly or All."""

    def keep(resource: R, wanted: str) -> bool:
        match wanted.lower():
            case "all":
                return True
            case "activeonly":
                return not archived(resource)
            case "archivedonly":
                return archived(resource)
        raise BadRequest(f"listViewType must be ActiveOnly, ArchivedOnly or All, not '{wanted}'.")

    return keep


def _ordered(found: list[R], order: str) -> list[R]:
    if "updated" in order.lower():
        found = sorted(found, key=_changed_at)
    return found[::-1] if order.lower().endswith("desc") else found


def _changed_at(resource: Listed) -> str:
    return resource.system_data.last_modified_at if resource.system_data else ""


def _start(token: str | None) -> int:
    if not token:
        return 0
    try:
        return max(0, int(base64.urlsafe_b64decode(token.encode())))
    except (ValueError, binascii.Error) as error:
        raise BadRequest(f"$skip must be the token of an earlier page's nextLink, not '{token}'.") from error


def _length(text: str | None, name: str) -> int:
    if text is None:
        return DEFAULT_PAGE
    if not re.fullmatch(r"0*[1-9]\d{0,9}", text, re.ASCII):
        raise BadRequest(f"{name} must be a positive integer, not '{text}'.")
    return min(int(text), MAX_PAGE)
