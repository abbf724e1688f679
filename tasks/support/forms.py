"""The form of an approval, as Prefect keeps and shows it."""

import os
from collections.abc import Sequence
from typing import Any, Self
from uuid import UUID

from prefect.input import Keyset, RunInput
from pydantic import ConfigDict, Field, SecretStr, ValidationError, create_model

from saferollout.approvals.question import (
    REJECT,
    describe_approver,
    describe_decision,
    describe_proof,
    wants_code,
    wants_proof,
)
from saferollout.approvals.signed_answer import MAX_LENGTH, PAGE_URL
from saferollout.config.approvals import ApprovalsConfig
from saferollout.domain.endpoint import Choice
from saferollout.domain.evidence import Evidence
from tasks.support.answers import load_answer
from tasks.support.this_run import run_id


def _with_evidence(schema: dict[str, Any]) -> None:
    """An answer must say what it is an answer to, though the form fills that in."""
    schema["required"] = [
        "decision",
        "approver",
        "evidence",
        *(name for name in ("code", "proof") if name in schema["properties"]),
    ]


class Approval(RunInput):
    """The form that a person fills in."""

    model_config = ConfigDict(json_schema_extra=_with_evidence)

    decision: Choice
    approver: str = Field(min_length=1, max_length=60)
    comment: str = Field("", max_length=500, description="Why, for the record.")

    @classmethod
    async def aload(cls, keyset: Keyset, flow_run_id: UUID | None = None) -> Self | None:  # type: ignore[override]  # see below
        """The answer that Prefect keeps; None where that is not one: whoever reaches the API writes there anything."""
        kept = await load_answer(flow_run_id or run_id(), keyset["response"])
        try:
            return cls.model_validate(kept)
        except ValidationError:
            return None


def make_form(
    digest: str,
    rules: ApprovalsConfig | None = None,
    evidence: Sequence[Evidence] = (),
    notes: Sequence[str] = (),
    *,
    reject: str = REJECT,
    title: str = "",
) -> Any:
    """The form for an answer to the evidence with this digest: the server takes no other one.

    With a fifth field Prefect's UI leaves no room for the text above on a small screen: then the `title` is beside the
    decision, too.
    """
    rules = rules or ApprovalsConfig()
    if title and (wants_code(rules) or wants_proof(rules)):
        reject = f"{title} {reject}"
    fields: dict[str, Any] = {
        "decision": (Choice, Field(description=describe_decision(evidence, notes, reject))),
        "approver": (str, Field(min_length=1, max_length=60, description=describe_approver(rules))),
    }
    if wants_code(rules):
        about = "The code that your app shows now; it works once."
        fields["code"] = (SecretStr, Field(min_length=6, max_length=7, description=about))
    if wants_proof(rules):
        about = describe_proof(os.environ.get(PAGE_URL, ""))
        listed: dict[str, Any] = {"approvers": list(rules.approvers)}
        fields["proof"] = (str, Field(min_length=1, max_length=MAX_LENGTH, description=about, json_schema_extra=listed))
    fields["evidence"] = (str, Field(digest, json_schema_extra={"const": digest}))  # the last: nobody fills it in
    return create_model("Approval", __base__=Approval, **fields)
