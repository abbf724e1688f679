"""Approvals in the config: who may approve, how many must, and how they prove who they are."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from saferollout.config.section import Section

GROUP, ROLE = "group:", "role:"
"""What an approver begins with who is not a person: everybody in a group, or with an app role."""


class Verify(StrEnum):
    """How an approver's name is proven."""

    NONE = "none"
    TOTP = "totp"
    OIDC = "oidc"


def _different(names: tuple[str, ...]) -> tuple[str, ...]:
    seen: set[str] = set()
    for name in names:
        if name.casefold() in seen:
            msg = f"{name!r} is given twice; name each approver once"
            raise ValueError(msg)
        seen.add(name.casefold())
    return names


Approver = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=60)]


class ApprovalsConfig(Section):
    """Who may approve. What a stage says counts for it in the place of what the config says for all stages."""

    approvers: Annotated[tuple[Approver, ...], AfterValidator(_different)] = Field(
        (),
        description=(
            "The names of those who may approve or reject; default: anybody. With `verify: oidc` also `group:<name>` "
            "and `role:<name>`, as the OpenID provider calls them."
        ),
    )
    required: int = Field(
        1, ge=1, le=10, description="How many different approvers must approve; one rejection rolls back."
    )
    not_requester: bool = Field(
        False, description="Whether the person who requested the rollout is kept from approving it."
    )
    verify: Verify = Field(
        Verify.NONE,
        description=(
            "How an approver proves the name: not at all (none: it is self-declared), by a code that works once "
            "(totp; `saferollout approver enroll`), or by a sign-in at the approvals page (oidc; `saferollout "
            "approvals serve`). The latter two need a signing key on the workers, oidc the page's public key as well."
        ),
    )

    @model_validator(mode="after")
    def _enough(self) -> Self:
        several = [name for name in self.approvers if name.startswith((GROUP, ROLE))]
        if several and self.verify is not Verify.OIDC:
            msg = f"{several[0]!r} is known only where approvers sign in; set verify: oidc, or name people"
            raise ValueError(msg)
        if self.approvers and not several and self.required > len(self.approvers):
            msg = f"{self.required} are required, but there are {len(self.approvers)} approvers; name more of them"
            raise ValueError(msg)
        return self
