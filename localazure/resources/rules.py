"""Azure ML's rules for names, traffic and settings, as far as a request alone shows them."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from localazure.arm.documents import Identity
from localazure.arm.durations import duration_s
from localazure.arm.errors import BadRequest
from localazure.resources.deployment_documents import ProbeBody

MAX_REQUEST_TIMEOUT_MS = 180_000
MAX_KUBERNETES_TIMEOUT_MS = 300_000
KUBERNETES_NAMES = (6, 62)
"""How long an endpoint's name and a deployment's name may be together."""
MAX_TAGS = 50
MAX_TAG_NAME = 512
MAX_TAG_VALUE = 256
MAX_MIRROR_PERCENT = 50

_IDENTITIES = ("None", "SystemAssigned", "UserAssigned", "SystemAssigned,UserAssigned")


def check_name(what: str, name: str) -> None:
    """Check that `name` may name an endpoint or a deployment.

    Raises:
        BadRequest: It may not.
    """
    if not re.fullmatch(r"(?=.{3,32}$)[A-Za-z](?:[A-Za-z0-9]|-(?=[A-Za-z0-9]))*", name):
        raise BadRequest(
            f"The {what} name '{name}' is not valid. It must have 3 to 32 characters, begin with a letter, end with a"
            " letter or digit, and have only letters, digits and single dashes between."
        )


def check_names_together(endpoint: str, deployment: str) -> None:
    """Check that Kubernetes can make a name out of the two.

    Raises:
        BadRequest: It cannot.
    """
    shortest, longest = KUBERNETES_NAMES
    if not shortest <= len(endpoint) + len(deployment) <= longest:
        raise BadRequest(
            f"The names of the Kubernetes endpoint '{endpoint}' and its deployment '{deployment}' must have {shortest}"
            f" to {longest} characters together."
        )


def check_tags(tags: Mapping[str, Any]) -> None:
    """Check that a resource can carry the tags.

    Raises:
        BadRequest: They are too many, or too long.
    """
    if len(tags) > MAX_TAGS:
        raise BadRequest(f"A resource can have at most {MAX_TAGS} tags; {len(tags)} were given.", "InvalidTags")
    for name, value in tags.items():
        if len(name) > MAX_TAG_NAME or len(str(value)) > MAX_TAG_VALUE:
            raise BadRequest(
                f"The tag '{name[:64]}' is too long: a name has at most {MAX_TAG_NAME} characters, a value"
                f" {MAX_TAG_VALUE}.",
                "InvalidTags",
            )


def check_traffic(traffic: Mapping[str, Any], mirror: Mapping[str, Any], deployments: Collection[str]) -> None:
    """Check that an endpoint whose `deployments` can take traffic may split it so.

    Raises:
        BadRequest: It may not.
    """
    for name, share in [*traffic.items(), *mirror.items()]:
        if isinstance(share, bool) or not isinstance(share, int) or not 0 <= share <= 100:
            raise BadRequest(f"The traffic of '{name}' must be an integer from 0 to 100, not {share!r}.")
        if name.lower() not in deployments:
            raise BadRequest(f"The traffic names the deployment '{name}', which does not exist or was never ready.")
    total = sum(traffic.values())
    if total not in (0, 100):
        raise BadRequest(f"The traffic percentages must sum up to 0 or 100; their sum is {total}.")
    mirrored = {name.lower(): share for name, share in mirror.items() if share}
    if len(mirrored) > 1:
        raise BadRequest("Traffic can be mirrored to one deployment only.")
    for name, share in mirrored.items():
        if share > MAX_MIRROR_PERCENT:
            raise BadRequest(f"At most {MAX_MIRROR_PERCENT}% of the traffic can be mirrored, not {share}%.")
        if any(live.lower() == name and live_share for live, live_share in traffic.items()):
            raise BadRequest(f"The deployment '{name}' cannot have live and mirrored traffic at the same time.")


def choice(name: str, value: Any, choices: Sequence[str], default: str) -> str:
    """Return the choice that `value` is, whatever its case; `default` where it says nothing.

    Raises:
        BadRequest: It is none of them.
    """
    if value is None:
        return default
    for known in choices:
        if str(value).lower() == known.lower():
            return known
    raise BadRequest(f"{name} must be {' or '.join(choices)}, not {value!r}.")


def check_identity(identity: Identity | None) -> None:
    """Check that the identity is of a known type, and has identities of the user if it is of those.

    Raises:
        BadRequest: It is not so.
    """
    given = identity or Identity()
    kind = choice("identity.type", str(given.type or "None").replace(" ", ""), _IDENTITIES, "None")
    if ("UserAssigned" in kind) != bool(given.user_assigned_identities):
        raise BadRequest("identity.userAssignedIdentities are for the type UserAssigned, which needs at least one.")


def check_instance_count(count: Any) -> None:
    """Check that a deployment may have `count` instances.

    Raises:
        BadRequest: It may not.
    """
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise BadRequest(f"The instance count must be an integer of at least 1, not {count!r}.")


def check_request_timeout(timeout_ms: float, limit_ms: float = MAX_REQUEST_TIMEOUT_MS) -> None:
    """Check that requests may be given `timeout_ms`.

    Raises:
        BadRequest: They may not.
    """
    if not 0 < timeout_ms <= limit_ms:
        raise BadRequest(f"requestTimeout must be more than 0 and at most {limit_ms:g} ms, not {timeout_ms:g}.")


def check_probe(name: str, settings: ProbeBody) -> None:
    """Check that the settings can be followed: durations of some length, thresholds of at least 1.

    Raises:
        BadRequest: They cannot.
    """
    durations = {"initialDelay": settings.initial_delay, "period": settings.period, "timeout": settings.timeout}
    for key, duration in durations.items():
        if duration_s(duration) <= 0 and key != "initialDelay":
            raise BadRequest(f"{name}.{key} must be more than 0, not {duration}.")
    counts = {"successThreshold": settings.success_threshold, "failureThreshold": settings.failure_threshold}
    for key, count in counts.items():
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise BadRequest(f"{name}.{key} must be an integer of at least 1, not {count!r}.")
