"""A rollout that is watched to its end; its questions are answered as they come."""

import asyncio
import contextlib
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import httpx

from saferollout.domain.errors import SaferolloutError
from saferollout_cli.approvals import Reply, answer
from tests.chaos.arena import Arena
from tests.support.stack import FINAL, Endpoint, wait_for

AT_WORK = ("RUNNING", "PAUSED", "COMPLETED", "FAILED", "CANCELLED")
"""States of a run that is at work again, or over."""
REPORT_S = 120.0
"""How long it may take from the end of the record until its run has ended, too."""
POLL_S = 1.0
"""How often to look: a look costs the server as much as a step."""
ASKING = ("Suspended", "Paused")


@dataclass
class Watched:
    """One rollout's flow run."""

    arena: Arena
    endpoint: Endpoint
    run: str
    answers: Counter[str] = field(default_factory=Counter)
    """How often each question was answered."""
    state: dict[str, Any] = field(default_factory=dict)

    def until_final(self, limit_s: float) -> str:
        """Answer and wait; return the name of the state in which the run ended."""

        def look() -> str | None:
            with contextlib.suppress(httpx.HTTPError):
                self.state = self.arena.stack.run(self.run)
                name = str(self.state["state_name"])
                if name in ASKING:
                    self._answer()
                if name in FINAL and (name == "Completed" or self.is_clear()):
                    return name
            return None

        return wait_for("the end", look, limit_s, POLL_S)

    def until_asked(self) -> None:
        """Wait for the first question; leave it open."""
        wait_for("a question", lambda: self._name() in ASKING or None, poll_s=POLL_S)

    def answer_when_asked(self) -> None:
        """Wait for the first question and answer it."""

        def look() -> bool | None:
            if self._name() in ASKING:
                self._answer()
            return bool(self.answers) or None

        wait_for("a question", look, poll_s=POLL_S)

    def _name(self) -> str:
        """The run's state; empty where the server is away."""
        with contextlib.suppress(httpx.HTTPError):
            return str(self.arena.stack.run(self.run)["state_name"])
        return ""

    def back_after(self, at: float) -> float | None:
        """How many seconds after a moment a process was at work on the run again, or it had ended; None before that."""
        states = self.arena.stack.api("GET", f"/flow_run_states/?flow_run_id={self.run}")
        moments = (_seconds(state["timestamp"]) for state in states if state["type"] in AT_WORK)
        later = [moment - at for moment in moments if moment > at]
        return min(later, default=None)

    def until_back(self, at: float, limit_s: float = 600) -> float:
        """Wait for that."""

        def look() -> float | None:
            with contextlib.suppress(httpx.HTTPError):
                return self.back_after(at)
            return None

        return wait_for("a process that goes on", look, limit_s, POLL_S)

    def report(self, state: str) -> str:
        """Wait until its run is in this state, whoever has brought it there, and return the report."""

        def look() -> str | None:
            with contextlib.suppress(httpx.HTTPError):
                self.state = self.arena.stack.run(self.run)
                key = {"artifacts": {"key": {"any_": [f"{self.endpoint.name}-report"]}}}
                found = self.arena.stack.api("POST", "/artifacts/latest/filter", json=key)
                if self.state["state_name"] == state and found:
                    return str(found[0]["data"])
            return None

        return wait_for(f"its report, and the state {state}", look, REPORT_S, POLL_S)

    def story(self) -> str:
        """How it ended, and the last lines of its log: to be read when it ended otherwise than it should."""
        message = f"{self.state['state_name']}: {self.state['state']['message']}"
        return "\n".join([message, *self.arena.stack.logs(self.run)[-40:]])

    def is_clear(self) -> bool:
        """Whether nothing of the rollout is left on the endpoint."""
        return "saferollout.rollout" not in self.endpoint.state().tags

    def _answer(self) -> None:
        with contextlib.suppress(SaferolloutError, httpx.HTTPError):
            reply = Reply(decision="approve", approver="Ada")
            question = asyncio.run(answer(UUID(self.run), reply))
            self.answers[question.title] += 1

    def restarts_after(self) -> list[tuple[str, float]]:
        """For each kill of its process, how long until one was at work on the run again, or it had ended."""
        kills = [kill for kill in self.arena.kills() if kill.run == self.run]
        return [(kill.point, self.back_after(kill.at) or time.time() - kill.at) for kill in kills]


def _seconds(timestamp: str) -> float:
    return datetime.fromisoformat(timestamp).timestamp()
