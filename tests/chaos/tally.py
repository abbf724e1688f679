"""The tally: what was killed or failed how often, what came of it, and how long it took to be put right.

Every line is written down at once, so that a run which is interrupted loses nothing; a document's tables are written
from all the lines in a file: `python -m tests.chaos.tally build/chaos.jsonl docs/reliability.md`.
"""

import json
import statistics
import sys
import threading
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


@dataclass
class Row:
    """One kind of mishap."""

    results: Counter[str] = field(default_factory=Counter)
    took_s: list[float] = field(default_factory=list)


@dataclass
class Part:
    """What one chapter is about."""

    rows: dict[str, Row] = field(default_factory=lambda: defaultdict(Row))
    sums: Counter[str] = field(default_factory=Counter)
    """What else was counted."""
    runs: set[str] = field(default_factory=set)
    """When the runs began that have added to it."""


class Tally:
    """Mishaps by part (what the chapter is about) and by kind; with a `path`, also as lines in a file."""

    def __init__(self, path: Path | None = None) -> None:
        self.parts: dict[str, Part] = defaultdict(Part)
        self._path = path
        self._run = f"{datetime.now(UTC):%Y-%m-%d %H:%M}"
        self._lock = threading.Lock()

    @classmethod
    def load(cls, path: Path) -> "Tally":
        """All that earlier runs have written down."""
        made = cls()
        for line in path.read_text(encoding="utf-8").splitlines():
            made._add(json.loads(line))
        return made

    def note(self, part: str, kind: str, result: str, took_s: float | None = None, *, times: int = 1) -> None:
        """Count a mishap that struck so many times, after which it took so many seconds to be put right."""
        self._write({"part": part, "kind": kind, "result": result, "took_s": took_s, "times": times})

    def add(self, part: str, what: str, number: int) -> None:
        """Add to a number of another kind, such as users' requests."""
        self._write({"part": part, "what": what, "number": number})

    def _write(self, line: dict[str, Any]) -> None:
        line |= {"run": self._run}
        with self._lock:
            self._add(line)
            if self._path:
                with self._path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")

    def _add(self, line: dict[str, Any]) -> None:
        part = self.parts[line["part"]]
        part.runs.add(line["run"])
        if "what" in line:
            part.sums[line["what"]] += line["number"]
            return
        row = part.rows[line["kind"]]
        row.results[line["result"]] += line["times"]
        if line["took_s"] is not None:
            row.took_s.append(line["took_s"])

    def write(self, document: Path) -> None:
        """Put the tables of the parts into the document, each between its own marks."""
        text = document.read_text(encoding="utf-8")
        for part in self.parts:
            begin, end = f"<!-- {part} -->\n", f"<!-- end of {part} -->"
            before, _, rest = text.partition(begin)
            _, _, after = rest.partition(end)
            text = before + begin + self.table(part) + end + after
        document.write_text(text, encoding="utf-8")

    def table(self, name: str) -> str:
        """The part as a table in markdown, and its other numbers."""
        part = self.parts[name]
        sums = [*(f"- {what}: {number:,}" for what, number in part.sums.items()), f"- {_runs(part.runs)}"]
        if not part.rows:
            return "\n".join(["", *sums, ""])
        lines = ["| what | times | what came of it | put right after, p50 | max |", "|---|---|---|---|---|"]
        for kind, row in sorted(part.rows.items()):
            lines.append(f"| {kind} | {row.results.total()} | {_results(row.results)} | {_times(row.took_s)} |")
        results = sum((row.results for row in part.rows.values()), Counter[str]())
        took_s = [seconds for row in part.rows.values() for seconds in row.took_s]
        lines.append(f"| **all** | **{results.total()}** | {_results(results)} | {_times(took_s)} |")
        return "\n".join(["", *lines, "", *sums, ""])


def _results(results: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in results.most_common())


def _times(took_s: list[float]) -> str:
    return f"{statistics.median(took_s):.1f} s | {max(took_s):.1f} s" if took_s else "– | –"


def _runs(runs: set[str]) -> str:
    first, last = min(runs), max(runs)
    return f"one run, of {first} UTC" if len(runs) == 1 else f"{len(runs)} runs, from {first} to {last} UTC"


if __name__ == "__main__":
    Tally.load(Path(sys.argv[1])).write(Path(sys.argv[2]))
