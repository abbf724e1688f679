"""What the judge may say."""

from enum import StrEnum


class Verdict(StrEnum):
    """The judge's answer, one of three.

    `HARMFUL` is a proof at level α that the candidate is worse; `HEALTHY` is a proof at level α that it is
    not worse than agreed; `UNDECIDED` is the honest rest: the data so far prove neither.
    """

    HEALTHY = "healthy"
    HARMFUL = "harmful"
    UNDECIDED = "undecided"
