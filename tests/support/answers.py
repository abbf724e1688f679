"""Rollouts that go on after their question, and what the history has of their answers."""

from collections import Counter
from typing import Any
from uuid import UUID

import httpx
from prefect.client.schemas.objects import FlowRun

from saferollout.approvals.history import problems
from saferollout.approvals.keys import Keyring
from saferollout.domain.endpoint import Decision
from saferollout.domain.errors import Refused
from saferollout.report.outcome import Outcome
from saferollout.rollout.shift import shift_traffic
from tasks.report import report
from tasks.support import history
from tasks.support.polling import poll
from tests.support.asking import Case, deployed, go_on


class Rollout(Case):
    """It goes on after its question: what was approved is done, and reported."""

    outcome: Outcome

    async def decide(self) -> Decision:
        """Ask for 10%."""
        return await super().ask()

    async def ask(self) -> Decision:
        """Give 10% once that is decided, and report."""
        decision = await self.decide()
        shift_traffic(self.azure, self.rollout, 10, decision)
        self.outcome = await report(self.rollout, "promoted", "", self.decisions, self.evidence)
        return decision


async def asked(case: Case) -> FlowRun:  # noqa: ARG001  # it must be the current one
    """A suspended run that asks for the case."""
    run = await deployed()
    assert (await go_on(run)).name == "Suspended"
    return run


async def events_of(case: Case, keys: Keyring) -> Counter[str]:
    """How many entries of each kind the history has of the rollout; those are whole and signed."""
    entries, head = await history.read_history("shop")
    own = [entry for entry in entries if entry.event.rollout == case.rollout.id]
    names = tuple(f"entry {entry.number} was" for entry in own) + tuple(f"entry {entry.number} is" for entry in own)
    assert not [problem for problem in problems(entries, head, keys) if problem.startswith(names)]
    return Counter(entry.event.kind for entry in own)


def api(url: str) -> httpx.AsyncClient:
    """A client of Prefect's API; it keeps no connection, which a busy server would have closed meanwhile."""
    return httpx.AsyncClient(base_url=url, timeout=120, limits=httpx.Limits(max_keepalive_connections=0))


async def post(client: httpx.AsyncClient, path: str, body: dict[str, Any]) -> httpx.Response:
    """Call Prefect's API; SQLite's passing 503 is asked again."""

    async def call() -> httpx.Response | None:
        response = await client.post(path, json=body)
        return None if response.status_code == 503 else response

    answered = await poll(call, 0.2, 240)
    assert answered is not None, f"never taken: {path}"
    return answered


async def resume(client: httpx.AsyncClient, run: UUID, given: dict[str, Any]) -> str:
    """Answer by Prefect's API. Return what the server says."""
    answered = await post(client, f"/flow_runs/{run}/resume", {"run_input": given})
    answered.raise_for_status()
    return str(answered.json()["status"])


def is_refused(result: object) -> bool:
    """Whether an answer was refused; what else has failed with it is raised."""
    if isinstance(result, BaseException) and not isinstance(result, Refused):
        raise result
    return isinstance(result, Refused)
