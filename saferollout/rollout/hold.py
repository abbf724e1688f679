"""Hold: a revision that was rolled back for harm, or by a person's rejection, is not tried again by itself.

One tag of the endpoint has it, so the last such revision is held. It is not part of a record, and stays when that goes.
"""

import textwrap
from datetime import datetime
from typing import Self

from pydantic import ValidationError

from saferollout.azure.workspace import Workspace
from saferollout.domain.endpoint import Value
from saferollout.domain.errors import GateFailed, Refused, Rejected
from saferollout.domain.evidence import GateVerdict
from saferollout.domain.text import one_line
from saferollout.rollout.record import TAG_HELD, cut, now

HARM = (GateVerdict.HARMFUL, GateVerdict.FAILED)
COMMENT_LENGTH = 80
"""So much of why it was released; the tag needs room for the reason, too."""


class Hold(Value):
    """What is held and why, and who has ended that."""

    revision: str
    label: str = ""
    """What people call it: its model and version."""
    reason: str
    since: datetime
    deployment: str = ""
    """The digest of the candidate as Azure showed it then; empty where it was gone, or in an earlier version's."""
    released_by: str = ""
    """Empty while the revision is held."""
    comment: str = ""
    """Why it was released."""

    @classmethod
    def of(cls, revision: str, label: str, reason: str) -> Self:
        """A hold from now on."""
        return cls(revision=revision, label=label, reason=one_line(reason), since=now().replace(microsecond=0))

    @classmethod
    def from_tags(cls, tags: dict[str, str]) -> Self | None:
        """Return the hold in these tags; None without one.

        Raises:
            Refused: It is damaged.
        """
        if not (text := tags.get(TAG_HELD)):
            return None
        try:
            return cls.model_validate_json(text)
        except ValidationError:
            msg = (
                f"the endpoint's tag {TAG_HELD} is damaged, so nobody knows which revision is held; "
                "`saferollout release` removes it"
            )
            raise Refused(msg) from None

    def to_tags(self) -> dict[str, str]:
        """The tag that has it, with reason, comment and label cut where they are too long for that."""
        return {TAG_HELD: cut(self, "reason", "comment", "label").model_dump_json(exclude_defaults=True)}

    def holds(self, revision: str) -> bool:
        """Whether it keeps this revision from being rolled out."""
        return self.revision == revision and not self.released_by

    def why(self) -> str:
        """The hold, for a sentence."""
        name = f"{self.label} (revision {self.revision})" if self.label else f"revision {self.revision}"
        return f"{name} is held since {self.since:%Y-%m-%d %H:%M:%S %Z}: {self.reason}"

    def follows(self, endpoint: str) -> str:
        """What a report says of a hold that begins."""
        return (
            f"Revision {self.revision} is held: no schedule or event rolls it out again until somebody releases it "
            f"(saferollout release {endpoint} --comment WHY); a person can, with --again."
        )

    def note(self, again: str) -> str:
        """What a report says of a rollout of this revision that `again` insisted on, or that a release allowed."""
        if self.released_by:
            return f"The hold on it ({self.reason}) was ended by {self.released_by}: {self.comment}."
        return f"{again} started it again, although {self.why()}."


def hold_for(failure: Exception, revision: str, label: str) -> Hold | None:
    """The hold that follows from this failure: from harm that a gate has seen, and from a person's rejection.

    None follows where Azure failed, nobody answered, somebody cancelled the rollout or changed the traffic.
    """
    is_harm = isinstance(failure, GateFailed) and failure.evidence and failure.evidence.verdict in HARM
    is_rejected = isinstance(failure, Rejected) and failure.decision
    return Hold.of(revision, label, str(failure)) if is_harm or is_rejected else None


def check_hold(tags: dict[str, str], endpoint: str, revision: str, again: str) -> str:
    """What the report is to say of a hold on this revision, if there is one.

    Raises:
        Refused: The revision is held, and nobody has said to roll it out `again`.
    """
    hold = Hold.from_tags(tags)
    if hold is None or hold.revision != revision:
        return ""
    if hold.holds(revision) and not again:
        msg = (
            f"{hold.why()}; `saferollout release {endpoint} --comment WHY` ends that, "
            "and `--again` rolls it out all the same"
        )
        raise Refused(msg)
    return hold.note(again)


def without_hold(tags: dict[str, str], revision: str) -> dict[str, str]:
    """The tags without the hold on this revision, which users have now; that on any other one stays."""
    try:
        hold = Hold.from_tags(tags)
    except Refused:
        return tags
    if hold is None or hold.revision != revision:
        return tags
    return {name: value for name, value in tags.items() if name != TAG_HELD}


def release(workspace: Workspace, endpoint: str, *, by: str, comment: str) -> str:
    """End the hold, and return what it was; the tag goes on to say who ended it and why.

    Raises:
        Refused: Nothing is held.
    """
    found = ""

    def ended(tags: dict[str, str]) -> dict[str, str]:
        nonlocal found
        try:
            hold = Hold.from_tags(tags)
        except Refused:
            found = f"a hold in a damaged tag: {tags[TAG_HELD]}"
            return {name: value for name, value in tags.items() if name != TAG_HELD}
        if hold is None or hold.released_by:
            msg = f"endpoint {endpoint} holds no revision: nothing to do"
            raise Refused(msg)
        found = hold.why()
        why = textwrap.shorten(one_line(comment), COMMENT_LENGTH, placeholder=" …")
        return tags | hold.model_copy(update={"released_by": by, "comment": why}).to_tags()

    workspace.update_endpoint(endpoint, tags=ended)
    return found
