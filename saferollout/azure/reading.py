"""Reading back: what is waited for, and what is said where it does not come."""

from collections.abc import Callable
from typing import TypeVar

from saferollout.azure.port import LOOK_THERE
from saferollout.azure.retries import poll
from saferollout.domain.endpoint import EndpointState
from saferollout.domain.errors import AzureFailed, Missing

T = TypeVar("T")
Tags = dict[str, str]

FINAL = frozenset({"Succeeded", "Failed", "Canceled"})


def until(look: Callable[[], T | None], wanted: str, timeout_s: float, *, retryable: bool = False) -> T:
    """Look until there is something to see.

    Raises:
        AzureFailed: There is nothing in time.
    """
    if not (seen := poll(look, timeout_s)):
        remedy = "" if retryable else f"; {LOOK_THERE}"
        msg = f"Azure does not show {wanted} after {timeout_s:.0f} s{remedy}"
        raise AzureFailed(msg, retryable=retryable)
    return seen


def unless_shown(change: Callable[[Tags], Tags]) -> Callable[[Tags], Tags]:
    """`change`, but what it made before is left as it is: it was sent, whatever was answered."""
    made: dict[str, str | None] = {}

    def changed(tags: Tags) -> Tags:
        nonlocal made
        if made and all(tags.get(name) == value for name, value in made.items()):
            return tags
        new = change(dict(tags))
        made = {name: new.get(name) for name in tags.keys() | new.keys() if tags.get(name) != new.get(name)}
        return new

    return changed


def required(endpoint: str, read: T | None) -> T:
    """What was read of an endpoint.

    Raises:
        Missing: There is no such endpoint.
    """
    if read is None:
        msg = f"endpoint {endpoint} does not exist; create it with `saferollout bootstrap`"
        raise Missing(msg)
    return read


def is_final(state: EndpointState, deployment: str) -> bool:
    """Whether nothing is under way at the deployment; False where it is gone."""
    shown = state.deployments.get(deployment)
    return shown is not None and shown.provisioning_state in FINAL
