"""What must be true of every change of an endpoint, read from local Azure's own recording of what it was asked."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from saferollout.domain.errors import Refused
from saferollout.rollout.record import Record

CHANGE = re.compile(r".*/onlineEndpoints/(?P<endpoint>[^/]+)(?:/deployments/(?P<deployment>[^/]+))?", re.IGNORECASE)

FAULT = "A fault that was asked for"


@dataclass
class Planned:
    """The invariants of one endpoint, over all its changes in order."""

    shares: tuple[int, ...] = (10, 100)
    traffic: dict[str, int] = field(default_factory=dict)
    """What was last asked for and not refused."""
    changes: int = 0
    broken: list[str] = field(default_factory=list)

    def take(self, line: dict[str, Any], deployment: str) -> None:
        """Check one request that changes something; one that was read before a fault answered it was done."""
        if deployment and line["method"] == "DELETE" and self.traffic.get(deployment):
            self.broken.append(f"{line['time']}: {deployment} was deleted while it had traffic: {self.traffic}")
        if deployment or line["method"] != "PUT" or line["body"] is None:
            return  # without a body it was answered before anybody looked at it
        self.changes += 1
        asked = line["body"]["properties"].get("traffic") or {}
        traffic = {name: share for name, share in asked.items() if share}
        why = self._wrong(traffic, line["body"].get("tags") or {})
        if why:
            self.broken.append(f"{line['time']}: {why}: {self.traffic} to {traffic}")
        answer = line["answer"]
        if answer is None or answer["status"] < 300 or FAULT in json.dumps(answer):  # who was refused changed nothing
            self.traffic = traffic

    def _wrong(self, traffic: dict[str, int], tags: dict[str, str]) -> str:
        """What is wrong with the change; empty if nothing is."""
        if sum(traffic.values()) != 100 and (traffic or self.traffic):
            return "the traffic does not sum to 100"
        try:
            record = Record.from_tags(tags)
        except Refused as refusal:
            return f"the record is damaged ({refusal})"
        if record and record.unfinished:
            return self._unplanned(traffic, record)
        if traffic != self.traffic and len(self.traffic) > 1 and len(traffic) != 1:
            return "no rollout changes the traffic"
        return ""

    def _unplanned(self, traffic: dict[str, int], record: Record) -> str:
        given, had = (found.get(record.candidate, 0) for found in (traffic, self.traffic))
        if traffic != record.traffic():
            return f"the record says {record.traffic()}"
        if given > had and given not in self.shares:
            return "the share was not planned"
        if given > had and had == 0 and given != self.shares[0]:
            return "the first stage was skipped"
        return ""


def check(recording: Path, shares: tuple[int, ...] = (10, 100)) -> dict[str, Planned]:
    """Every endpoint's changes, checked."""
    found: dict[str, Planned] = {}
    for text in recording.read_text().splitlines():
        line = json.loads(text)
        match = CHANGE.fullmatch(line["path"])
        if match and line["method"] in ("PUT", "DELETE"):
            planned = found.setdefault(match["endpoint"], Planned(shares))
            planned.take(line, match["deployment"] or "")
    return found
