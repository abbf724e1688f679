"""Difference: one thing that is not as the rollout left it, and its words."""

from collections.abc import Iterator

from saferollout.domain.composition import Composition
from saferollout.domain.endpoint import DeploymentState, Value

BY = "somebody else"


class Difference(Value):
    """One thing that is not as the rollout left it."""

    what: str
    expected: str
    found: str
    words: str
    """All of it in one sentence for a person."""
    is_repairable: bool = False
    """Whether the rollout can set it again: traffic and instances, not what a deployment is made of."""
    is_hopeless: bool = False
    """Whether there is nothing left to go back to."""
    is_count: bool = False
    """Whether it is a number of instances, which an autoscaler may have changed."""
    is_change: bool = False
    """Whether it is what the candidate is made of, which is tested anew."""
    is_listed: bool = False
    """Whether the list of deployments shows it, which Azure may show later than the endpoint's own changes."""


def report_deletion(name: str, *, is_hopeless: bool = False) -> Difference:
    """A deployment is gone."""
    return Difference(
        what=f"deployment {name}",
        expected="there",
        found="gone",
        words=f"deployment {name} is gone: {BY} deleted it",
        is_hopeless=is_hopeless,
        is_listed=True,
    )


def report_change(name: str, old: Composition, new: Composition) -> Difference:
    """Somebody else changed the candidate in place."""
    return Difference(
        what=f"what {name} is made of",
        expected=old.digest,
        found=new.digest,
        words=f"deployment {name} is no longer what was tested: {BY} changed it ({old.change_to(new)})",
        is_change=True,
        is_listed=True,
    )


def compare_part(deployment: DeploymentState, kind: str, expected: str, found: str) -> Iterator[Difference]:
    """Whether somebody else changed a deployment's model, environment or revision.

    Yields:
        That it is another one.
    """
    if expected and found.lower() != expected.lower():
        yield Difference(
            what=f"the {kind} of {deployment.name}",
            expected=expected,
            found=found,
            words=f"deployment {deployment.name} has {kind} {found}, not {expected}: {BY} changed it",
            is_listed=True,
        )
