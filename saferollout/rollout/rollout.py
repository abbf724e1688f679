"""The rollout: what it is going to do; every step works from it and keeps its record up to date."""

import math
from collections.abc import Sequence

from saferollout.approvals.requester import Requester
from saferollout.config.project import Project
from saferollout.domain.composition import Composition
from saferollout.domain.endpoint import Baseline, Decision, Value
from saferollout.domain.errors import Lost, Superseded
from saferollout.domain.evidence import Evidence
from saferollout.rollout.record import Phase, Record, without_record

TAG_ROLLOUT = "saferollout.rollout"
TAG_REVISION = "saferollout.revision"


class Rollout(Value):
    """What one rollout is going to do, with the project as it was when its run began."""

    project: Project
    id: str
    """The rollout's id: new for every attempt, kept when an attempt is resumed."""
    flow_run: str
    """The flow run that works on it; another one that takes the rollout over ends this one's work."""
    candidate: str
    baseline: Baseline
    share: int
    """The candidate's traffic when this process began: above 0 when it resumes what was left."""
    approvals: dict[int, Decision]
    """The decisions taken so far, by share, as the tags claim them; nobody is asked twice."""
    resumes: int = 0
    """How often the guard had had the run begin again when this process began."""
    hold: str = ""
    """What the report says of a hold on the revision that somebody ended or overrode; empty without one."""
    requester: Requester = Requester()
    """Who wanted the rollout, as far as anybody says so."""
    made_of: Composition | None = None
    """What the candidate was made of when its gates began; None where that is not known yet."""
    changed_from: Composition | None = None
    """What it was made of before somebody else changed it last."""
    changes: int = 0
    """How often the rollout has begun anew, since somebody else had changed the candidate."""
    freeze_ignored: str = ""
    """Who has it go on in freeze windows, and why; empty where it waits for their end."""

    @classmethod
    def of(cls, project: Project, record: Record) -> "Rollout":
        """The rollout that belongs to a record."""
        return cls(
            project=project,
            id=record.rollout,
            flow_run=record.owner.flow_run,
            candidate=record.candidate,
            baseline=record.baseline,
            share=record.share,
            approvals=record.approvals,
            resumes=record.resumes,
            requester=record.requester,
            made_of=record.made_of,
            changed_from=record.changed_from,
            changes=record.changes,
        )

    def anew(self, record: Record) -> "Rollout":
        """This rollout as its record has it since it began anew."""
        fields = ("share", "approvals", "made_of", "changed_from", "changes")
        return self.model_copy(update={name: getattr(record, name) for name in fields})

    @property
    def endpoint(self) -> str:
        """The endpoint's name."""
        return self.project.endpoint

    @property
    def revision(self) -> str:
        """What the candidate is made of."""
        return self.project.revision

    @property
    def live(self) -> str:
        """The deployment that serves the users when the rollout begins."""
        return self.baseline.live

    @property
    def live_instance_count(self) -> int:
        """The live deployment's instances during the rollout; never fewer than before: users are on it."""
        return max(self.project.config.live.instance_count or 0, self.baseline.instance_count)

    def candidate_instance_count(self, share: int, live: int) -> int:
        """How many instances the candidate needs for `share` percent of the traffic, where live has `live` now.

        For all of it that is as many as live has, or had before the rollout, unless the config says otherwise.
        """
        whole = self.project.config.candidate.instance_count or max(self.baseline.instance_count, live)
        return math.ceil(whole * share / 100)

    def few_instances(self, candidate: int, live: int) -> str:
        """A warning if the candidate, which has `candidate` instances, will take over with fewer than live's."""
        given = max(candidate, self.candidate_instance_count(100, live))
        carrying = max(self.baseline.instance_count, live)
        if given >= carrying:
            return ""
        return f"{self.candidate} takes over with {given} of {self.live}'s {carrying} instances, as the config says."

    def tested(self, evidence: Sequence[Evidence]) -> "Rollout":
        """This rollout with what its candidate was made of when the first gate, the smoke test, began."""
        return self.model_copy(update={"made_of": (evidence[0].made_of if evidence else None) or self.made_of})

    @property
    def change(self) -> str:
        """What somebody else changed of the candidate, for whoever decides about it now; empty if nothing."""
        if not self.changes:
            return ""
        made_of = self.made_of
        what = f": {self.changed_from.change_to(made_of)}" if self.changed_from and made_of else ""
        return (
            f"Somebody else changed {self.candidate}{what}. What was found and approved before no longer counts; it "
            f"was tested anew (change {self.changes} of this rollout)."
        )

    def traffic(self, share: int) -> dict[str, int]:
        """The endpoint's traffic when the candidate has `share` percent."""
        return {name: percent for name, percent in ((self.live, 100 - share), (self.candidate, share)) if percent}

    @property
    def candidate_tags(self) -> dict[str, str]:
        """What the candidate is known by: another deployment of its name is not the one that passed the gates."""
        return {TAG_ROLLOUT: self.id, TAG_REVISION: self.revision}

    def own_record(self, tags: dict[str, str]) -> Record:
        """Return this rollout's record.

        Raises:
            Lost: The tags hold no record or another rollout's, or another run took this one over.
            Superseded: This process was taken for dead, and the run began again.
        """
        record = Record.from_tags(tags)
        if (
            record is None
            or record.phase is not Phase.ROLLING
            or (record.rollout, record.owner.flow_run) != (self.id, self.flow_run)
        ):
            msg = f"rollout {self.id} of {self.endpoint} was rolled back or replaced meanwhile"
            raise Lost(msg)
        if record.resumes != self.resumes:
            msg = (
                f"this process was taken for dead, and its run began again: another process goes on with rollout "
                f"{self.id} of {self.endpoint}"
            )
            raise Superseded(msg)
        return record

    def advanced(self, tags: dict[str, str], **changes: object) -> dict[str, str]:
        """The endpoint's tags with this rollout's record changed; Lost as for `own_record`."""
        return without_record(tags) | self.own_record(tags).model_copy(update=changes).to_tags()
