"""Guard: look after the rollouts that nobody may be at work on, with Prefect and without."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

import httpx
from prefect import get_client, task
from prefect.client.orchestration import PrefectClient
from prefect.exceptions import ObjectNotFound

from saferollout.config.judge import JudgeConfig
from saferollout.config.project import Project
from saferollout.config.rollout import OnDrift, WorkspaceConfig
from saferollout.config.sources import WINDOW_S, SourceConfig, SourceKind
from saferollout.domain.endpoint import EndpointState
from saferollout.domain.errors import AzureFailed, Changed, Drifted, GateFailed, Missing, words_of
from saferollout.domain.evidence import Evidence, GateVerdict
from saferollout.domain.fault_points import Step
from saferollout.gates.judging import run_judge
from saferollout.gates.sources.catalogue import make_sources
from saferollout.report.message import Message, change_message, closing_message, end_message, failed_rollback_message
from saferollout.rollout import drift, lookout, rollback
from saferollout.rollout.drain import BY_TIME
from saferollout.rollout.forget import forget
from saferollout.rollout.guard import LOST, SETTLING_S, Act, GuardAction, Run, Sign, decide
from saferollout.rollout.hold import Hold
from saferollout.rollout.record import Record, now
from saferollout.rollout.retire import retire
from saferollout.rollout.rollout import TAG_ROLLOUT, Rollout
from tasks.remind import remind
from tasks.support import runs
from tasks.support.access import in_workspace, scorer_of
from tasks.support.artifacts import publish
from tasks.support.boundaries import bounded
from tasks.support.drain import Drain
from tasks.support.judge import judge_on_sources, publish_evidence
from tasks.support.messages import send_message
from tasks.support.outcome import close, is_back, outcome_of
from tasks.support.policy import ROLLBACK, STEP
from tasks.support.race import first_of
from tasks.support.results import Kept, Looks, kept_by, looks_in
from tasks.support.turns import look_after_all

LATE_S = 90.0
"""How old what Azure lists may be, in seconds."""
LOOK_S = 20.0
"""How long the judge watches at one look, in seconds."""
MOVED_ON = "what was found does not count: the rollout was changed or ended meanwhile"
BACK_S = 5.0
AWAY_S = 10.0
"""How long Prefect's server may take to answer: its client's own retries would go on for more than a minute."""
PATIENT_S = 60.0
"""How long it may take to read what a run has kept: the guard can do far less without."""
log = logging.getLogger(__name__)


class Guard:
    """Looks after the endpoints of a workspace.

    Without a Prefect `client` nothing goes forward: a candidate that has users is judged, by the config in `projects`
    or else by what Azure Monitor counts, and harm and what is overdue is rolled back, from the endpoint's tags alone.
    """

    def __init__(
        self,
        workspace: WorkspaceConfig,
        looks: Looks,
        *,
        client: PrefectClient | None = None,
        projects: dict[str, Project] | None = None,
        is_back: Callable[[], Awaitable[bool]] | None = None,
        late_s: float = LATE_S,
    ) -> None:
        """`is_back` says whether a Prefect server answers again that did not; reads may be `late_s` old."""
        self._workspace = workspace
        self._looks = looks
        self._client = client
        self._projects = projects or {}
        self._is_back = is_back
        self._late_s = late_s

    @property
    def _is_away(self) -> bool:
        """Whether there is a Prefect server that does not answer now: a record stays until it has heard of the end."""
        return self._client is None and self._is_back is not None

    @bounded(Step.GUARD)
    async def look_after(self, endpoint: str, *, is_listed: bool = False) -> str:
        """Do what the endpoint needs, and return in a line what that was; one that was only listed may be gone.

        Raises:
            Missing: There is no such endpoint.
            SaferolloutError: It could not be done.
        """
        try:
            return await self._look_after(endpoint)
        except Missing:
            if not is_listed:
                raise
            return "the endpoint is gone, and the rollout with it"

    async def _look_after(self, endpoint: str) -> str:
        while True:
            state = await in_workspace(self._workspace, lambda azure: azure.get_endpoint(endpoint))
            if (record := Record.from_tags(state.tags)) is None:
                return "no rollout"
            run = await self._look_up(record)
            action = decide(state, record, run, now())
            if run and run.sign is Sign.ASKING and record.asks and action.act in (Act.LEAVE, Act.JUDGE):
                await self._remind(record, state)
            if run and run.sign in LOST and not record.unfinished and action.act is not Act.WAIT:
                await self._report_promoted(state, record, run)
            if action.act is not Act.WAIT:
                return await self._do(action, state, record, run)
            await asyncio.sleep(action.wait_s)

    async def _look_up(self, record: Record) -> Run | None:
        """The record's run; None where Prefect is away."""
        if self._client is None:
            return None
        try:
            async with asyncio.timeout(AWAY_S):
                return await runs.look_up(self._client, record)
        except (httpx.HTTPError, TimeoutError, ValueError, ObjectNotFound) as error:
            log.warning("Prefect cannot be asked (%s): nothing goes forward", words_of(error))
            return None

    async def _do(self, action: GuardAction, state: EndpointState, record: Record, run: Run | None) -> str:
        match action.act:
            case Act.RETIRE:
                forgets = not self._is_away
                return await in_workspace(self._workspace, lambda azure: retire(azure, state.name, forgets=forgets))
            case Act.ROLL_BACK if self._is_away and record.share == 0 and is_back(state, record):
                return "rolled back; its run is ended as soon as Prefect answers"
            case Act.ROLL_BACK:
                look = lambda azure: drift.left_as_is(azure, state, record)  # noqa: E731 - as its caller would write it
                if not action.insists and (found := await in_workspace(self._workspace, look)):
                    return _left_as_is(state.name, found)
                return await self._roll_back(state, record, action.reason, await self._kept(record, state.name))
            case Act.RESUME if self._client:
                await in_workspace(self._workspace, lambda azure: lookout.note_resume(azure, state.name, record))
                await runs.begin_again(self._client, UUID(record.owner.flow_run))
                return f"{action.reason}: it begins again ({record.resumes + 1} of {record.max_resumes})"
            case Act.JUDGE:
                return await self._judge(state, record, action.reason, run)
            case _:
                return action.reason

    async def _remind(self, record: Record, state: EndpointState) -> None:
        """Tell people, once, that the rollout's question is about to expire, and that it is about what is gone."""
        if kept := await self._kept(record, state.name):
            await remind(kept.project, record, kept.evidence)
            if record.asks and (change := drift.change_of(state, record)):
                told = change_message(state.name, record.asks.share, change.found, change.words)
                await self._send(record, kept.project, told)

    async def _judge(self, state: EndpointState, record: Record, reason: str, run: Run | None) -> str:
        """Judge the candidate for a while, from the evidence so far, and roll back for harm."""
        kept = await self._kept(record, state.name)
        change = drift.change_of(state, record)
        which = f"{record.changes}-{change.found}" if change else str(record.changes or "")
        reason = f"{reason}; {change.words}" if change else reason
        earlier = await self._looks.read(record.rollout, which)
        if not (earlier or change) and kept and kept.evidence:
            earlier = kept.evidence[-1]  # of what the candidate still is
        gate = f"guard at {record.share}%"
        try:
            if kept is None:
                watching = self._watch_counts(state, record, gate, earlier)
                counted = await (watching if run else first_of(watching, self._until_back(record)))
                if counted is None:
                    return f"{reason}; Prefect answers again, so the next look judges by the rollout's config"
                evidence = counted
            else:
                rollout = Rollout.of(kept.project, record)
                state = await self._check(state, rollout)
                judge = next(stage.judge for stage in kept.project.config.stages if stage.traffic >= record.share)
                evidence = await judge_on_sources(rollout, state, judge.recheck(LOOK_S, has_users=True), gate, earlier)
        except Drifted as drifted:
            if record.on_drift is OnDrift.STOP:
                return _left_as_is(state.name, drifted)
            return await self._roll_back(state, record, str(drifted), kept)
        except GateFailed as failure:
            if await self._has_moved_on(state.name, record):
                return f"{reason}; {MOVED_ON}"
            return await self._roll_back(state, record, str(failure), kept)
        if evidence.verdict is GateVerdict.HARMFUL and await self._has_moved_on(state.name, record):
            return f"{reason}; {MOVED_ON}"
        await self._looks.write(record.rollout, which, evidence)
        if evidence.verdict is GateVerdict.HARMFUL:
            reason = f"{record.candidate} went bad at {record.share}% ({reason}): {evidence.summary}"
            return await self._roll_back(state, record, reason, kept, evidence)
        await in_workspace(self._workspace, lambda azure: lookout.note_look(azure, state.name, record))
        if self._client:
            await publish_evidence(evidence, f"{state.name.lower()}-judge-{record.share}")
        return f"{reason}; {evidence.verdict}: {evidence.summary}"

    async def _has_moved_on(self, endpoint: str, record: Record) -> bool:
        """Whether somebody else went back, or began anew, while the judge watched: a candidate that is deleted fails.

        Where that cannot be known, harm is harm.
        """
        try:
            state = await in_workspace(self._workspace, lambda azure: azure.get_endpoint(endpoint))
        except AzureFailed as error:
            log.warning("what the judge found of %s counts, for the endpoint cannot be read: %s", endpoint, error)
            return False
        there = Record.from_tags(state.tags)
        if there is None or there.rollout != record.rollout or there.share < record.share:
            return True
        return (there.phase, there.changes) != (record.phase, record.changes)

    async def _check(self, state: EndpointState, rollout: Rollout) -> EndpointState:
        """`drift.check`, but for a change of the candidate.

        Where it would roll back, a list of deployments may be late and is read again. Returns the endpoint as checked.

        Raises:
            Drifted: Somebody else changed something.
        """
        try:
            await in_workspace(self._workspace, lambda azure: drift.check(azure, state, rollout))
        except Drifted as drifted:
            if isinstance(drifted, Changed) and rollout.project.config.on_drift is OnDrift.STOP:
                return state  # its users are watched all the same; its run has it tested anew
            if not drifted.is_listed or rollout.project.config.on_drift is OnDrift.STOP:
                raise
            log.warning("Azure may show an old state, so this is checked again in %.0f s: %s", self._late_s, drifted)
            await asyncio.sleep(self._late_s)
            state = await in_workspace(self._workspace, lambda azure: azure.get_endpoint(state.name))
            await in_workspace(self._workspace, lambda azure: drift.check(azure, state, rollout))
        return state

    async def _until_back(self, record: Record) -> None:
        """Return once Prefect answers again: it has the config, so that the judge need not wait for Azure Monitor."""
        while True:
            await asyncio.sleep(BACK_S)
            if await self._look_up(record) or (self._is_back and await self._is_back()):
                return

    async def _watch_counts(
        self, state: EndpointState, record: Record, gate: str, earlier: Evidence | None
    ) -> Evidence:
        """Judge by what Azure Monitor counts: without the rollout's config there are no requests to send."""
        source = SourceConfig(kind=SourceKind.AZURE_METRICS)
        look_s = source.delay_s + 2 * WINDOW_S[source.kind]
        judge = JudgeConfig(sources=(source,), min_duration_s=look_s, max_duration_s=look_s)
        connect = lambda: scorer_of(self._workspace, state.name)  # noqa: E731 - as its caller would write it
        sources = make_sources(judge, state, (), connect, candidate=record.candidate, live=record.baseline.live)
        return await run_judge(sources, judge, gate, earlier=earlier, report=lambda _share, _text: None)

    async def _roll_back(
        self,
        state: EndpointState,
        record: Record,
        reason: str,
        kept: Kept | None,
        evidence: Evidence | None = None,
    ) -> str:
        """Roll the rollout back, then close its run; in this order, for users come first."""
        project = kept.project if kept else None
        wait = Drain(project) if project else BY_TIME
        hold = Hold.of(record.revision, project.label if project else record.model, reason) if evidence else None
        try:
            await in_workspace(
                self._workspace,
                lambda azure: rollback.roll_back(
                    azure,
                    state.name,
                    rollout=record.rollout,
                    force=record.on_drift is OnDrift.ROLLBACK,
                    wait=wait,
                    hold=hold,
                    forgets=self._client is None and not self._is_away,
                ),
            )
        except Drifted as drifted:
            await self._send(record, project, failed_rollback_message(state.name, str(drifted)))
            return _left_as_is(state.name, drifted)
        if self._client and evidence:
            evidence = await publish_evidence(evidence, f"{state.name.lower()}-judge-{record.share}")
        outcome = await outcome_of(self._workspace, state.name, record, "rolled_back", reason, kept, evidence)
        if self._client and await close(self._client, self._workspace, record, outcome):
            await in_workspace(self._workspace, lambda azure: forget(azure, state.name, record.rollout))
        await self._send(record, project, closing_message(outcome, record.asks.share if record.asks else None))
        return f"rolled back: {reason}"

    async def _report_promoted(self, state: EndpointState, record: Record, run: Run) -> None:
        """End the run of a rollout that was promoted, where its process was lost before it could do so."""
        if self._client and run.sign is Sign.SILENT:
            await asyncio.sleep(SETTLING_S)  # its worker, if there is one, may yet report the crash
            if (again := await self._look_up(record)) is None or again.sign not in LOST:
                return
        passed = f"{record.candidate} passed every gate and has all traffic"
        reason = f"{passed}; the guard ends it, for its process was lost"
        kept = await self._kept(record, state.name)
        outcome = await outcome_of(self._workspace, state.name, record, "promoted", reason, kept)
        if self._client and await close(self._client, self._workspace, record, outcome):
            await self._send(record, kept.project if kept else None, end_message(outcome))

    async def _send(self, record: Record, project: Project | None, message: Message) -> None:
        """Tell people; without Prefect, where nobody remembers what was told, perhaps again."""
        if project:
            await send_message(project.config.notify, UUID(record.owner.flow_run) if self._client else None, message)

    async def _kept(self, record: Record, endpoint: str) -> Kept | None:
        """What the rollout works with; None where neither Prefect nor a config on this machine says it."""
        if self._client:
            found: list[Kept | None] = await publish(
                kept_by(UUID(record.owner.flow_run)), limit_s=PATIENT_S, failure="what the run has kept is not known"
            )
            if found[0]:
                return found[0]
        project = self._projects.get(endpoint)
        return Kept(project, []) if project and project.revision == record.revision else None


def _left_as_is(endpoint: str, found: object) -> str:
    """What the guard says of somebody else's change, in its result and as an error in its log."""
    words = f"NOT rolled back: {found}; check the endpoint, then run `saferollout rollback --force {endpoint}`"
    log.error("%s: %s", endpoint, words)
    return words


async def look_without_prefect(
    workspace: WorkspaceConfig,
    endpoints: Sequence[str] | None,
    projects: dict[str, Project],
    folder: str,
    is_back: Callable[[], Awaitable[bool]] | None = None,
) -> dict[str, str]:
    """Look after the endpoints, all that carry a record by default; what the judge knows is kept in the `folder`."""
    guarding = Guard(workspace, looks_in(folder), projects=projects, is_back=is_back)
    names = endpoints or await rollouts_in.fn(workspace)
    return await look_after_all(names, lambda name: guarding.look_after(name, is_listed=not endpoints))


@task(task_run_name="look after {endpoint}", **ROLLBACK)
async def look_after(workspace: WorkspaceConfig, endpoint: str, *, is_listed: bool) -> str:
    """Look after one endpoint from a flow; see `Guard.look_after`."""
    async with get_client() as client:
        return await Guard(workspace, Looks(), client=client).look_after(endpoint, is_listed=is_listed)


@task(task_run_name="list the rollouts", **STEP)
async def rollouts_in(workspace: WorkspaceConfig) -> list[str]:
    """The workspace's endpoints that carry a rollout's record."""
    return await in_workspace(workspace, lambda azure: azure.endpoints(with_tag=TAG_ROLLOUT))
