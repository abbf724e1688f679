"""A person who has signed in, as an OpenID provider describes them."""

from collections.abc import Iterable
from datetime import datetime

from saferollout.approvals.approvers import comparable_name
from saferollout.config.approvals import GROUP, ROLE
from saferollout.domain.endpoint import Value

ANYBODY = "*"


class Person(Value):
    """Who has signed in, where and when."""

    issuer: str
    """The address of the identity provider where the person has signed in."""
    subject: str
    """What the provider calls this person, and never another one."""
    name: str
    """The approver's name: what `approvers` lists."""
    full_name: str = ""
    memberships: tuple[str, ...] = ()
    """Groups and app roles, as `approvers` names them: `group:…`, `role:…`."""
    signed_in_at: datetime
    """When the person last proved to the provider who they are."""

    @property
    def identity(self) -> str:
        """Issuer and subject, which no other person has."""
        return f"{self.issuer} {self.subject}"

    def is_one_of(self, approvers: Iterable[str]) -> bool:
        """Whether one of these names, groups or roles is the person's."""
        names = {comparable_name(self.name)}
        return any(
            one == ANYBODY
            or (one in self.memberships if one.startswith((GROUP, ROLE)) else comparable_name(one) in names)
            for one in approvers
        )
