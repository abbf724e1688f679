"""The record: what a later process needs to finish or roll back a rollout, in the endpoint's tags.

Azure allows 50 tags of 256 characters; the record takes at most 32, and one or two more for each stage, and leaves
all others alone.
"""

import re
from datetime import UTC, datetime
from enum import StrEnum
from typing import Self, TypeVar

from pydantic import Field

from saferollout.approvals import tag
from saferollout.approvals.requester import Requester
from saferollout.config.rollout import MAX_RESUMES, LeftCandidate, OnDrift
from saferollout.domain.composition import Composition
from saferollout.domain.endpoint import Baseline, Decision, Value, describe
from saferollout.domain.errors import Refused
from saferollout.rollout.owner import Owner

PREFIX = "saferollout."
TAG_HELD = PREFIX + "held"
"""Of the endpoint: the hold on a revision. It belongs to no record, and stays when a record goes."""
MAX_TAGS = 50
MAX_TAG_LENGTH = tag.MAX_LENGTH
APPROVAL = re.compile("approval-([1-9][0-9]{0,2})")
SKIP = re.compile("skip-([1-9][0-9]{0,2})")
V = TypeVar("V", bound=Value)


class Phase(StrEnum):
    """How far a rollout is: under way, being rolled back, or done with the old deployment kept or being deleted."""

    ROLLING = "rolling"
    ROLLING_BACK = "rolling-back"
    KEEPING = "keeping"
    RETIRING = "retiring"

    @classmethod
    def _missing_(cls, value: object) -> "Phase | None":
        return cls.ROLLING_BACK if value == "undoing" else None  # in the tags of an earlier version


class OpenQuestion(Value):
    """What a rollout waits for a person to answer."""

    share: int
    """The traffic that was asked for, in percent."""
    since: datetime
    until: datetime | None = None
    """When nobody's answer counts as a rejection; None where the question stays open."""

    def to_tag(self) -> str:
        """The question as a tag holds it."""
        times = [moment.isoformat(timespec="seconds") for moment in (self.since, self.until) if moment]
        return " ".join([str(self.share), *times])

    @classmethod
    def from_tag(cls, text: str) -> Self:
        """Read what `to_tag` wrote.

        Raises:
            ValueError: It is damaged.
        """
        share, since, *until = text.split()
        return cls(share=int(share), since=_moment(since), until=_moment(until[0]) if until else None)


class Record(Value):
    """A rollout as the endpoint's tags record it."""

    rollout: str
    phase: Phase = Phase.ROLLING
    owner: Owner
    since: datetime
    candidate: str
    revision: str
    model: str = ""
    """The registered model that is rolled out, with its version; empty for a local one."""
    environment: str = ""
    """The registered environment that it runs in, with its version; empty for a local one."""
    baseline: Baseline
    share: int = 0
    """The candidate's traffic that has been reached."""
    approvals: dict[int, Decision] = Field(default={})
    """Who let the candidate have which traffic, when and why."""
    left_candidate: LeftCandidate = LeftCandidate.KEEP
    """What a rollback does with the candidate."""
    raised_to: int = 0
    """How many instances the rollout gives the live deployment, if that is more than it had; else 0."""
    keep_until: datetime | None = None
    asks: OpenQuestion | None = None
    """What it waits for; None while it works."""
    resumes: int = 0
    """How often the guard has had its run begin again. A process that began before that is out of the game."""
    max_resumes: int = MAX_RESUMES
    """How often that may be before the rollout is rolled back."""
    due: datetime | None = None
    """When its next change of this record is overdue, whoever is at work; None if it never is."""
    frozen_until: datetime | None = None
    """When the freeze is over whose end it waits for, or has waited for."""
    deployment: str = ""
    """The deployment of its flow run in Prefect; empty for a run that lives in one process."""
    guarded: datetime | None = None
    """When the guard last wrote that it had looked."""
    live_model: str = ""
    """What the live deployment was made of when the rollout began; empty in a record of an earlier version."""
    live_environment: str = ""
    live_revision: str = ""
    instance_counts: dict[str, int] = Field(default={})
    """How many instances each deployment had when the rollout last changed the traffic."""
    on_drift: OnDrift = OnDrift.STOP
    """What follows where somebody else changes what the rollout set."""
    drifts: int = 0
    """How often it was put back by a person's will."""
    skips: dict[int, Decision] = Field(default={})
    """Who let the judge be skipped at which share of traffic, when and why."""
    requester: Requester = Requester()
    """Who wanted the rollout, as far as anybody says so."""
    made_of: Composition | None = None
    """What the candidate was made of when its gates began; None before its first question and first share."""
    changed_from: Composition | None = None
    """What it was made of before somebody else changed it last."""
    changes: int = 0
    """How often it has begun anew, since somebody else had changed the candidate."""

    @property
    def unfinished(self) -> bool:
        """Whether a rollout is under way or being rolled back."""
        return self.phase in (Phase.ROLLING, Phase.ROLLING_BACK)

    def is_frozen(self, moment: datetime) -> bool:
        """Whether it waits for the end of a freeze: what it asked before that was answered."""
        return self.frozen_until is not None and moment < self.frozen_until

    def traffic(self) -> dict[str, int]:
        """The traffic that the rollout has set last."""
        shares = {self.baseline.live: 100 - self.share, self.candidate: self.share}
        return {name: share for name, share in shares.items() if share}

    def to_tags(self) -> dict[str, str]:
        """Return the tags that hold this record.

        Raises:
            Refused: A tag does not fit into Azure's limit.
        """
        fields = {
            "rollout": self.rollout,
            "phase": self.phase.value,
            "by": self.owner.name,
            "flow-run": self.owner.flow_run,
            "process": self.owner.process,
            "since": self.since.isoformat(timespec="seconds"),
            "candidate": self.candidate,
            "revision": self.revision,
            "model": self.model,
            "environment": self.environment,
            "live": self.baseline.live,
            "live-instances": str(self.baseline.instance_count),
            "raised-to": str(self.raised_to or ""),
            "stage": str(self.share),
            "keep-until": self.keep_until.isoformat(timespec="seconds") if self.keep_until else "",
            "on-rollback": self.left_candidate.value,
            "asks": self.asks.to_tag() if self.asks else "",
            "resumes": f"{self.resumes}/{self.max_resumes}",
            "due": self.due.isoformat(timespec="seconds") if self.due else "",
            "frozen-until": self.frozen_until.isoformat(timespec="seconds") if self.frozen_until else "",
            "deployment": self.deployment,
            "guarded": self.guarded.isoformat(timespec="seconds") if self.guarded else "",
            "live-model": self.live_model,
            "live-environment": self.live_environment,
            "live-revision": self.live_revision,
            "instances": describe(self.instance_counts) if self.instance_counts else "",
            "drifts": str(self.drifts or ""),
            "on-drift": self.on_drift.value if self.on_drift is not OnDrift.STOP else "",
            "requester": str(self.requester),
            "made-of": self.made_of.to_tag() if self.made_of else "",
            "changed-from": self.changed_from.to_tag() if self.changed_from else "",
            "changes": str(self.changes or ""),
        } | {
            f"{kind}-{share}": tag.to_tag(tag.fitted(decision))
            for kind, decisions in (("approval", self.approvals), ("skip", self.skips))
            for share, decision in decisions.items()
        }
        tags = {PREFIX + name: value for name, value in fields.items() if value}
        if too_long := [name for name, value in tags.items() if len(value) > MAX_TAG_LENGTH]:
            msg = f"the value of tag {too_long[0]} is longer than Azure's {MAX_TAG_LENGTH} characters"
            raise Refused(msg)
        return tags

    def removed_from(self, tags: dict[str, str]) -> dict[str, str]:
        """The tags without this record; another rollout's record, which may have come meanwhile, stays."""
        there = Record.from_tags(tags)
        return without_record(tags) if there and there.rollout == self.rollout else tags

    @classmethod
    def from_tags(cls, tags: dict[str, str]) -> Self | None:
        """Return the record in these tags; None without one.

        Raises:
            Refused: It is damaged.
        """
        own = {name.removeprefix(PREFIX): value for name, value in tags.items() if is_of_record(name)}
        if not own:
            return None
        try:
            resumes, _, max_resumes = own.get("resumes", "0").partition("/")
            counted = own.get("instances", "")
            return cls(
                rollout=own["rollout"],
                phase=Phase(own["phase"]),
                owner=Owner(name=own["by"], flow_run=own["flow-run"], process=own.get("process", "")),
                since=_moment(own["since"]),
                candidate=own["candidate"],
                revision=own["revision"],
                model=own.get("model", ""),
                environment=own.get("environment", ""),
                baseline=Baseline(live=own["live"], instance_count=int(own["live-instances"])),
                share=int(own["stage"]),
                approvals=_decisions(own, APPROVAL),
                left_candidate=LeftCandidate(own["on-rollback"]),
                raised_to=int(own.get("raised-to", 0)),
                keep_until=_moment_or_none(own.get("keep-until")),
                asks=OpenQuestion.from_tag(own["asks"]) if "asks" in own else None,
                resumes=int(resumes),
                max_resumes=int(max_resumes or MAX_RESUMES),
                due=_moment_or_none(own.get("due")),
                frozen_until=_moment_or_none(own.get("frozen-until")),
                deployment=own.get("deployment", ""),
                guarded=_moment_or_none(own.get("guarded")),
                live_model=own.get("live-model", ""),
                live_environment=own.get("live-environment", ""),
                live_revision=own.get("live-revision", ""),
                instance_counts={
                    name: int(count) for name, _, count in (each.partition("=") for each in counted.split())
                },
                drifts=int(own.get("drifts", 0)),
                on_drift=OnDrift(own.get("on-drift", OnDrift.STOP)),
                skips=_decisions(own, SKIP),
                requester=Requester.parse(own.get("requester", "")),
                made_of=_composition_or_none(own.get("made-of")),
                changed_from=_composition_or_none(own.get("changed-from")),
                changes=int(own.get("changes", 0)),
            )
        except (KeyError, ValueError) as error:
            what = f"{error} is missing" if isinstance(error, KeyError) else " ".join(str(error).split())
            msg = f"the endpoint's {PREFIX}* tags are damaged ({what}); set the traffic by hand and remove them"
            raise Refused(msg) from None


def _decisions(own: dict[str, str], names: re.Pattern[str]) -> dict[int, Decision]:
    """What the tags claim of decisions, which may be anything that somebody wrote there."""
    found = {names.fullmatch(name): value for name, value in own.items()}
    return {
        int(name[1]): tag.from_tag(int(name[1]), value, rollout=own["rollout"], revision=own["revision"])
        for name, value in found.items()
        if name
    }


def without_record(tags: dict[str, str]) -> dict[str, str]:
    """The endpoint's tags without those that keep the rollout's record."""
    return {name: value for name, value in tags.items() if not is_of_record(name)}


def is_of_record(tag: str) -> bool:
    """Whether a tag of this name belongs to a record."""
    return tag.startswith(PREFIX) and tag != TAG_HELD


def cut(value: V, *fields: str) -> V:
    """The value with as much of these fields, one after the other, as its JSON has room for in a tag."""
    for field in fields:
        if (excess := len(value.model_dump_json()) - MAX_TAG_LENGTH) > 0:
            text = getattr(value, field)
            value = value.model_copy(update={field: text[: max(0, len(text) - excess - 1)] + "…"})
    return value


def now() -> datetime:
    """The present, with its time zone."""
    return datetime.now(UTC)


def _moment(text: str) -> datetime:
    """A moment as a tag holds it; one without a time zone, which somebody may have written, is in UTC."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _moment_or_none(text: str | None) -> datetime | None:
    return _moment(text) if text else None


def _composition_or_none(text: str | None) -> Composition | None:
    return Composition.from_tag(text) if text else None
