"""The question of an approval: what it shows, what an answer to it is bound to, and the name that Prefect gives it."""

import hashlib
import textwrap
from collections.abc import Sequence

from saferollout.approvals.approvers import PROOFS
from saferollout.config.approvals import ApprovalsConfig, Verify
from saferollout.domain.composition import brief
from saferollout.domain.endpoint import DeploymentState, Value
from saferollout.domain.evidence import Evidence, headlines, markdown_table
from saferollout.domain.text import as_markdown, one_line

FINDING_LENGTH = 200
SAME = "the same"
REJECT = "Reject rolls everything back."
TAMPERED = "The tag saferollout.approval-{} claims an approval that {}: somebody has tampered with it; asked again."
UNSIGNED = "no worker has signed for this rollout, share and revision"
UNKNOWN = "Prefect does not know"


class Question(Value):
    """A question as it is asked, with the evidence."""

    name: str
    """What an answer is stored under, without the evidence: the question, the rollout, its revision and the share."""
    text: str
    """Its markdown: the question as a title, what was found, what changes, the tables."""
    digest: str
    """12 hex digits over the rollout, the revision, the candidate as Azure shows it and all that is shown."""

    def key(self, round_: int = 0) -> str:
        """What the answer is stored under, when the question was asked so many times before without an end."""
        return key_of(self.name, self.digest, round_)

    def render(self, notes: Sequence[str]) -> str:
        """The markdown with what must be read first on top; it does not change what an answer is bound to."""
        title, _, rest = self.text.partition("\n\n")
        warned = [f"**⚠️ {as_markdown(note)}**" for note in notes]
        return "\n\n".join([title, *warned, rest, f"Evidence `{self.digest}`"])


def name_of(question: str, share: int, *, rollout: str, revision: str) -> str:
    """What the answers to a question are stored under."""
    return f"{_digest(f'{question} {rollout} {revision}')}-{share}"


def key_of(name: str, digest: str, round_: int) -> str:
    """What one answer is stored under."""
    return f"{name}-{digest}" + (f"-{round_}" if round_ else "")


def make_question(
    title: str, name: str, evidence: Sequence[Evidence], changes: str, *, rollout: str, revision: str, deployment: str
) -> Question:
    """The question with its evidence, the last finding first; a small title leaves room for it on a small screen."""
    details = [item.details for item in evidence if item.checks]
    text = "\n\n".join([f"### {title}", headlines(reversed(evidence)), changes, *details])
    return Question(name=name, text=text, digest=_digest(f"{rollout}{revision}{deployment}{text}"))


def describe_decision(evidence: Sequence[Evidence], notes: Sequence[str], reject: str = REJECT) -> str:
    """The text beside the decision: on a small screen what is above the fields needs scrolling.

    Prefect's UI shows it in one paragraph; whoever lists questions takes the first line.
    """
    findings = (f"{found.gate}: {found.verdict} — {found.summary}" for found in reversed(evidence))
    lines = [textwrap.shorten(one_line(line), FINDING_LENGTH, placeholder=" …") for line in (*notes, *findings)]
    return "\n· ".join([*lines, reject])


def describe_proof(page: str) -> str:
    """The text beside the field that nobody can fill in by hand."""
    return f"Answer at the approvals page ({page or 'saferollout approvals serve'}), which fills this in and signs it."


def describe_approver(rules: ApprovalsConfig) -> str:
    """The text beside the approver's name."""
    who = f"One of {', '.join(rules.approvers)}" if rules.approvers else "Your name"
    return f"{who} ({PROOFS[rules.verify]})."


def wants_code(rules: ApprovalsConfig) -> bool:
    """Whether the form has a field for a code."""
    return rules.verify is Verify.TOTP


def wants_proof(rules: ApprovalsConfig) -> bool:
    """Whether an answer must be signed by the approvals page."""
    return rules.verify is Verify.OIDC


def compare_deployments(live: DeploymentState, candidate: DeploymentState, *, live_revision: str, revision: str) -> str:
    """What the candidate changes, as a table in markdown."""
    rows = [
        {
            "": name,
            f"live ({live.name})": before,
            f"candidate ({candidate.name})": after if after != before else SAME,
        }
        for name, before, after in (
            ("model", live.model, candidate.model),
            ("code", brief(live.code), brief(candidate.code)),
            ("environment", brief(live.environment), brief(candidate.environment)),
            ("instances", _instances(live), _instances(candidate)),
            ("revision", live_revision, revision),
        )
        if before or after
    ]
    return markdown_table(rows)


def _instances(deployment: DeploymentState) -> str:
    kind = f" × {deployment.instance_type}" if deployment.instance_type else ""
    return f"{deployment.instance_count}{kind}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
