"""What can go wrong, as one tree; the class decides the exit code.

SaferolloutError
├── ConfigError        2  the input is wrong; nothing was called
├── Refused            1  the endpoint is not ours to change now; nothing was changed
│   ├── Missing           there is no such endpoint
│   ├── Taken             another rollout of the endpoint is under way
│   └── Lost              the rollout was rolled back or replaced meanwhile
│       └── Superseded    another process of the same run is at work on it
├── GateFailed         1  a gate said no; the rollout goes back to the baseline
│   ├── Rejected          a person said no, or nobody answered in time
│   ├── Drifted           somebody else changed what this rollout set
│   │   ├── Changed       no more than what the candidate is made of
│   │   └── LeftAsIs      and the endpoint stays so: a person said so, or nobody answered, or nothing helps
│   ├── Stopped           somebody ended the run in Prefect, or Prefect could not be reached for too long
│   └── DeploymentFailed  Azure could not bring the candidate up
├── AzureFailed        3  Azure or the network failed
│   └── Busy              another operation on the same endpoint or deployment is under way
└── NotRolledBack      3  a rollback failed; the endpoint needs a person
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from saferollout.domain.text import printable

if TYPE_CHECKING:
    from saferollout.domain.endpoint import Decision
    from saferollout.domain.evidence import Evidence


class SaferolloutError(Exception):
    """Any failure this project raises on purpose; its text is one line for a person, without control characters."""

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


@dataclass(frozen=True)
class Problem:
    """One mistake in the input: where it is, what it is and what would be right."""

    file: str
    key: str
    problem: str
    remedy: str
    line: int = 0
    """From 1; 0 where there is none, as for a file that is not there."""
    column: int = 0
    """From 1; 0 where it is not known."""

    def __str__(self) -> str:
        line = f"line {self.line}" if self.line else ""
        place = f"{line}, column {self.column}" if self.column else line
        where = ": ".join(part for part in (self.file, place, self.key) if part)
        return f"{where}: {self.problem}; {self.remedy}"


class ConfigError(SaferolloutError):
    """The input is wrong. All that is wrong is listed; Azure was not called."""

    exit_code = 2

    def __init__(self, *problems: Problem) -> None:
        self.problems = problems
        super().__init__("\n".join(map(str, problems)))

    def __reduce__(self) -> tuple[type, tuple[Problem, ...]]:
        return type(self), self.problems


class Refused(SaferolloutError):
    """The endpoint cannot be rolled out now; nothing was changed."""


class Missing(Refused):
    """There is no such endpoint."""


class Taken(Refused):
    """Another rollout of the endpoint is under way; the text says whose, and since when.

    `flow_run`, `revision` and `model` are the other one's, where it is rolling forward; else they are empty.
    """

    def __init__(self, message: str, *, flow_run: str = "", revision: str = "", model: str = "") -> None:
        super().__init__(message)
        self.flow_run, self.revision, self.model = flow_run, revision, model


class Lost(Refused):
    """The endpoint's record is no longer this rollout's: somebody rolled it back or replaced it."""


class Superseded(Lost):
    """This process was taken for dead, and its run began again: run and rollout are the other process's now."""


class GateFailed(SaferolloutError):
    """A gate said no; `evidence` says on which grounds, where there are numbers."""

    def __init__(self, message: str, evidence: "Evidence | None" = None) -> None:
        super().__init__(message)
        self.evidence = evidence


class Rejected(GateFailed):
    """A person rejected the rollout, or nobody answered in time; `decision` is the person's, where there is one."""

    def __init__(self, message: str, decision: "Decision | None" = None) -> None:
        super().__init__(message)
        self.decision = decision


class Drifted(GateFailed):
    """The endpoint is not what the rollout set: somebody else changed it.

    `is_repairable` says that the rollout can set it again and go on; `is_hopeless` that it cannot even go back;
    `is_listed` that only Azure's list of deployments shows it, which may be late.
    """

    def __init__(
        self, message: str, *, is_repairable: bool = False, is_hopeless: bool = False, is_listed: bool = False
    ) -> None:
        super().__init__(message)
        self.is_repairable = is_repairable
        self.is_hopeless = is_hopeless
        self.is_listed = is_listed


class Changed(Drifted):
    """Somebody else changed the candidate in place: what was found of it, and approved, no longer counts."""


LEFT_AS_IS = "left as it is"
"""What the message of a `LeftAsIs` says, and so that of its run: the guard leaves it to a person, too."""


class LeftAsIs(Drifted):
    """Somebody else changed the endpoint, and it is left so: neither does the rollout go on nor is it rolled back."""


class Stopped(GateFailed):
    """The run is not to go on: somebody ended it in Prefect, or Prefect could not be reached for too long.

    `cancelled` says that it was cancelled.
    """

    def __init__(self, message: str, *, cancelled: bool = False) -> None:
        super().__init__(message)
        self.cancelled = cancelled


class DeploymentFailed(GateFailed):
    """Azure could not bring a deployment up; the text holds Azure's code and message."""


class AzureFailed(SaferolloutError):
    """Azure or the network failed.

    `retryable` says whether the same call may succeed later: throttling (429), a server's error (5xx) or a
    broken connection may; a refusal (400, 401, 403, 404, 409 …) will not: another token was tried, and another
    operation waited for, before. An endpoint that refuses its own key may get another meanwhile.
    """

    exit_code = 3

    def __init__(self, message: str, *, status: int | None = None, retryable: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.retryable = retryable

    def __reduce__(self) -> tuple[object, ...]:
        return (_azure_failed, (type(self), str(self), self.status, self.retryable))


class Busy(AzureFailed):
    """Azure takes one change at a time, and another one of the same endpoint or deployment is under way."""


class NotRolledBack(SaferolloutError):
    """The rollback itself failed: the endpoint is neither as before nor as wanted, and needs a person."""

    exit_code = 3


NotRestored = NotRolledBack
"""Its name in what runs of earlier versions have left on Prefect."""


def _azure_failed(kind: type[AzureFailed], message: str, status: int | None, retryable: bool) -> AzureFailed:
    return kind(message, status=status, retryable=retryable)


def words_of(error: BaseException) -> str:
    """What the error says, or else its name: one of a request that took too long is often empty, and never false."""
    return str(error) or type(error).__name__
