"""The requester: who wanted the rollout, as far as anybody says so."""

from saferollout.domain.endpoint import Value
from saferollout.domain.text import one_line

LENGTH = 60


class Requester(Value):
    """Who wanted the rollout, and who says so."""

    name: str = ""
    source: str = ""

    @classmethod
    def parse(cls, text: str) -> "Requester":
        """Read what `str` wrote."""
        source, _, name = text.partition(": ")
        return cls(name=name, source=source) if name else cls()

    def __str__(self) -> str:
        return f"{self.source}: {self.name}" if self.name else ""

    @property
    def words(self) -> str:
        """The requester for a report, with what the name is worth."""
        if not self.name:
            return "Who requested this is not known."
        return f"Requested by {self.name} (so says {self.source}; nobody has checked it)."


def find_requester(event: str, given: str, actor: str) -> Requester:
    """Who wanted the rollout: what the event says, else what the run was started with, else whom Prefect names."""
    for source, name in (("the event", event), ("who started the run", given), ("Prefect", actor)):
        if name := one_line(name)[:LENGTH]:
            return Requester(name=name, source=source)
    return Requester()
