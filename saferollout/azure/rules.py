"""Azure ML's rules for what may be asked of it, as far as they can be checked without it."""

from collections.abc import Collection, Mapping
from typing import NoReturn

from saferollout.config import names
from saferollout.domain.errors import AzureFailed

MAX_DEPLOYMENTS, MAX_INSTANCES = 20, 50
"""Of an endpoint, and of a managed deployment."""
MAX_TAGS, MAX_TAG_NAME, MAX_TAG_VALUE = 50, 512, 256
MAX_MIRROR_PERCENT = 50


def check_name(action: str, kind: str, name: str) -> None:
    """Refuse what cannot name an endpoint or a deployment; `action` is what could not be done, as below."""
    try:
        names.check_name(kind, name)
    except ValueError as error:
        refuse(action, str(error))


def check_tags(action: str, tags: Mapping[str, str]) -> None:
    """Refuse more tags, or longer ones, than a resource can carry."""
    if len(tags) > MAX_TAGS:
        refuse(action, f"InvalidTags: a resource can have at most {MAX_TAGS} tags; {len(tags)} were given")
    if any(len(name) > MAX_TAG_NAME or len(str(value)) > MAX_TAG_VALUE for name, value in tags.items()):
        refuse(action, "InvalidTags: a tag is too long")


def check_traffic(action: str, traffic: Mapping[str, int], mirror: Mapping[str, int], ready: Collection[str]) -> None:
    """Refuse traffic that Azure would not split so, or would not give to what is not `ready`, in small letters."""
    for name, share in [*traffic.items(), *mirror.items()]:
        if not 0 <= share <= 100:
            refuse(action, f"the traffic of '{name}' must be from 0 to 100, not {share}")
        if name.lower() not in ready:
            refuse(action, f"the traffic names '{name}', which does not exist or was never ready")
    if sum(traffic.values()) not in (0, 100):
        refuse(action, f"the traffic must sum up to 0 or 100, not {sum(traffic.values())}")
    mirrored = receivers_of(mirror)
    if len(mirrored) > 1 or any(share > MAX_MIRROR_PERCENT for share in mirror.values()):
        refuse(action, f"at most {MAX_MIRROR_PERCENT}% can be mirrored, to one deployment only")
    if mirrored & receivers_of(traffic):
        refuse(action, "a deployment cannot have live and mirrored traffic at the same time")


def check_deployments(action: str, others: int) -> None:
    """Refuse one deployment more beside so many others."""
    if others >= MAX_DEPLOYMENTS:
        refuse(action, f"OutOfQuota: an endpoint can have at most {MAX_DEPLOYMENTS} deployments")


def check_instance_count(action: str, count: int) -> None:
    """Refuse a deployment without instances."""
    if count < 1:
        refuse(action, f"the instance count must be at least 1, not {count}")


def check_quota(action: str, count: int, others: int, quota: int | None) -> None:
    """Refuse more instances of a managed deployment than there may be, of it or with the `others`."""
    if count > MAX_INSTANCES:
        refuse(action, f"OutOfQuota: {count} instances exceed the limit of {MAX_INSTANCES} per deployment")
    if quota is not None and others + count > quota:
        refuse(action, f"OutOfQuota: {max(0, quota - others)} of {quota} instances are left, not {count}")


def receivers_of(traffic: Mapping[str, int]) -> set[str]:
    """Who is given any traffic."""
    return {name for name, share in traffic.items() if share}


def refuse(action: str, reason: str, status: int = 400) -> NoReturn:
    """Answer as Azure does to what it does not do.

    Raises:
        AzureFailed: Always.
    """
    raise AzureFailed(f"could not {action}: {reason}", status=status)
