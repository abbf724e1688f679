"""Lists, as Azure answers them: filtered, ordered, and a page at a time."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from localazure.arm.errors import bad_request, not_implemented
from localazure.core.store import Document

DEFAULT_PAGE = 100
MAX_PAGE = 1000

_UNLESS_ASKED = {"listViewType": "ActiveOnly"}

Filter = Callable[[Document, str], bool]


def page(request: Request, resources: Iterable[Document], filters: dict[str, Filter], size: str = "$top") -> Response:
    """One page of `resources`, which come oldest first; the last page has no `nextLink`.

    `filters` are the query parameters that choose among them; `size` is the one that gives the size of a page. Raises
    ArmError: 400 for a value that is none, 501 for a parameter that local Azure does not know.
    """
    query = request.query_params
    for name in query:
        if name not in ("api-version", "$skip", "$orderBy", "orderBy", size, *filters):
            raise not_implemented(f"the query parameter '{name}' of {request.url.path}")
    found = list(resources)
    for name, keep in filters.items():
        if wanted := query.get(name) or _UNLESS_ASKED.get(name):
            found = [resource for resource in found if keep(resource, wanted)]
    found = _ordered(found, query.get("$orderBy") or query.get("orderBy") or "")
    start = _start(query.get("$skip"))
    length = _length(query.get(size), size)
    body: dict[str, Any] = {"value": found[start : start + length]}
    if start + length < len(found):
        token = base64.urlsafe_b64encode(str(start + length).encode()).decode()
        body["nextLink"] = str(request.url.include_query_params(**{"$skip": token}))
    return JSONResponse(body)


def pairs(where: Callable[[Document], dict[str, Any] | None]) -> Filter:
    """A filter by tags or properties: `key1,key2=value`, all of which must be there."""

    def keep(resource: Document, wanted: str) -> bool:
        found = where(resource) or {}
        for part in wanted.split(","):
            key, equals, value = part.strip().partition("=")
            if key not in found or (equals and str(found[key]) != value):
                return False
        return True

    return keep


def view(archived: Callable[[Document], bool]) -> Filter:
    """The filter `listViewType`: ActiveOnly, ArchivedOnly or All."""

    def keep(resource: Document, wanted: str) -> bool:
        match wanted.lower():
            case "all":
                return True
            case "activeonly":
                return not archived(resource)
            case "archivedonly":
                return archived(resource)
        raise bad_request(f"listViewType must be ActiveOnly, ArchivedOnly or All, not '{wanted}'.")

    return keep


def _ordered(found: list[Document], order: str) -> list[Document]:
    if "updated" in order.lower():
        found = sorted(found, key=lambda resource: str(resource["systemData"]["lastModifiedAt"]))
    return found[::-1] if order.lower().endswith("desc") else found


def _start(token: str | None) -> int:
    if not token:
        return 0
    try:
        return max(0, int(base64.urlsafe_b64decode(token.encode())))
    except (ValueError, binascii.Error) as error:
        raise bad_request(f"$skip must be the token of an earlier page's nextLink, not '{token}'.") from error


def _length(text: str | None, name: str) -> int:
    if text is None:
        return DEFAULT_PAGE
    if not text.isdigit() or not int(text):
        raise bad_request(f"{name} must be a positive integer, not '{text}'.")
    return min(int(text), MAX_PAGE)
