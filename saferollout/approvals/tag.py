"""A decision as a tag of the endpoint holds it: short, and signed by a worker's key where there is one."""

import json
from datetime import UTC, datetime

from saferollout.approvals.keys import Keyring
from saferollout.domain.endpoint import Decision

MAX_LENGTH = 256
"""Azure's, for the value of a tag."""
SIGNATURE_LENGTH = 86
_CONTEXT = b"saferollout approval 1\n"


def fitted(decision: Decision) -> Decision:
    """The decision as a tag holds it: its comment and, if need be, its approver cut; there is room for a signature.

    Who else approved, the approver's identity and the digest of the deployment are in the history only.
    """
    decision = decision.model_copy(
        update={
            "others": (),
            "deployment": "",
            "identity": "",
            "at": decision.at.astimezone(UTC).replace(microsecond=0),
        }
    )
    for field in ("comment", "approver"):
        room = decision.model_copy(update={"signature": "s" * SIGNATURE_LENGTH})
        if (excess := len(to_tag(room)) - MAX_LENGTH) > 0:
            text = getattr(decision, field)
            decision = decision.model_copy(update={field: _cut(text, excess)})
    return decision


def _cut(text: str, excess: int) -> str:
    """The text without so many signs of its JSON at the end."""
    wanted = len(_json(text)) - excess
    while len(_json(text + "…")) > wanted and text:
        text = text[:-1]
    return text + "…" if text else ""


def to_tag(decision: Decision) -> str:
    """The value of the tag that holds a fitted decision; the share is in the tag's name, the rest in other tags."""
    return _json([*_parts(decision), decision.signature])


def from_tag(share: int, value: str, *, rollout: str, revision: str) -> Decision:
    """Read what `to_tag` wrote, or an earlier version's object; what is neither counts for nothing.

    Args:
        share: The share that the tag's name names, in percent.
        value: The tag's value.
        rollout: The rollout that the endpoint's tags name.
        revision: Its candidate's revision.
    """
    try:
        content = json.loads(value)
        if isinstance(content, dict):
            return Decision.model_validate(content | {"stage": share, "signature": ""})
        kind, approver, proof, at, evidence, flow_run, comment, signature = content
        return Decision(
            share=share,
            decision=kind,
            approver=approver,
            proof=proof,
            at=datetime.fromtimestamp(at, UTC),
            evidence=evidence,
            flow_run=flow_run,
            comment=comment,
            signature=signature,
            rollout=rollout,
            revision=revision,
        )
    except (ValueError, TypeError, OverflowError, OSError, RecursionError):
        return Decision(share=share, decision="reject", approver="", at=datetime.fromtimestamp(0, UTC), evidence="")


def sign(decision: Decision, keys: Keyring) -> Decision:
    """The decision with a signature over what a tag holds of it; without one where no key signs."""
    return decision.model_copy(update={"signature": keys.sign(_message(fitted(decision)))})


def is_signed(decision: Decision, keys: Keyring) -> bool:
    """Whether one of the keys has signed the decision, for this rollout, share, revision and evidence."""
    return keys.has_signed(decision.signature, _message(fitted(decision)))


def _message(decision: Decision) -> bytes:
    bound = [decision.rollout, decision.revision, decision.share]
    return _CONTEXT + _json([*bound, *_parts(decision)]).encode(errors="surrogatepass")


def _parts(decision: Decision) -> list[str | int]:
    return [
        decision.decision,
        decision.approver,
        decision.proof,
        int(decision.at.timestamp()),
        decision.evidence,
        decision.flow_run,
        decision.comment,
    ]


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
