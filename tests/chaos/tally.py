"""The tally: what was killed or failed how often, what came of it, and how long it took to be put right."""

import statistics
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Row:
    """One kind of mishap."""

    results: Counter[str] = field(default_factory=Counter)
    took_s: list[float] = field(default_factory=list)


class Tally:
    """Mishaps by part (what the chapter is about) and by kind."""

    def __init__(self) -> None:
        self.parts: dict[str, dict[str, Row]] = defaultdict(lambda: defaultdict(Row))
        self.facts: dict[str, list[str]] = defaultdict(list)
        """Further lines of a chapter."""

    def note(self, part: str, kind: str, result: str, took_s: float | None = None, *, times: int = 1) -> None:
        """Count a mishap that struck so many times, after which it took so many seconds to be put right."""
        row = self.parts[part][kind]
        row.results[result] += times
        if took_s is not None:
            row.took_s.append(took_s)

    def count(self, part: str) -> int:
        """How many mishaps of a part there were."""
        return sum(row.results.total() for row in self.parts[part].values())

    def write(self, path: Path) -> None:
        """Put the tables of the parts into the document, each between its own marks."""
        text = path.read_text(encoding="utf-8")
        for part in self.parts:
            begin, end = f"<!-- {part} -->\n", f"<!-- end of {part} -->"
            before, _, rest = text.partition(begin)
            _, _, after = rest.partition(end)
            text = before + begin + self.table(part) + end + after
        path.write_text(text, encoding="utf-8")

    def table(self, part: str) -> str:
        """The part as a table in markdown, and its further lines."""
        lines = ["| what | times | what came of it | put right after, p50 | max |", "|---|---|---|---|---|"]
        rows = self.parts[part]
        for kind, row in sorted(rows.items()):
            lines.append(f"| {kind} | {row.results.total()} | {_results(row.results)} | {_times(row.took_s)} |")
        results = sum((row.results for row in rows.values()), Counter[str]())
        took_s = [seconds for row in rows.values() for seconds in row.took_s]
        lines.append(f"| **all** | **{results.total()}** | {_results(results)} | {_times(took_s)} |")
        return "\n".join(["", *lines, "", *(f"- {fact}" for fact in self.facts[part]), ""])


def _results(results: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in results.most_common())


def _times(took_s: list[float]) -> str:
    return f"{statistics.median(took_s):.1f} s | {max(took_s):.1f} s" if took_s else "– | –"
