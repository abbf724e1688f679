"""What options can be; apart from the rest, so that `--help` needs no slow import."""

from enum import StrEnum


class Approve(StrEnum):
    """Who answers the approvals of a run that a command started."""

    ASK = "ask"
    UI = "ui"
    AUTO = "auto"


class Candidate(StrEnum):
    """What the demo rolls out: a better model, or one with a fault."""

    GOOD = "good"
    ERRORS = "errors"
    SLOW = "slow"
    WRONG = "wrong"
    BROKEN = "broken"
    CRASH = "crash"
    LATE = "late"
