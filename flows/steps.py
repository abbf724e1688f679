"""The steps of a rollout's run: each begins when the run is to go on, and again once a foreign change is put back."""

from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from saferollout.config.rollout import OnDrift, StageConfig
from saferollout.domain.endpoint import Decision
from saferollout.domain.errors import LEFT_AS_IS, Changed, Drifted, LeftAsIs
from saferollout.domain.evidence import Evidence
from saferollout.rollout.rollout import Rollout
from tasks.drift import settle
from tasks.support.this_run import ThisRun

P = ParamSpec("P")
T = TypeVar("T")


class Steps:
    """Does the steps of one rollout."""

    def __init__(self, rollout: Rollout, decisions: list[Decision], evidence: list[Evidence]) -> None:
        """A decision on what somebody else changed is added to the `decisions`."""
        self._rollout = rollout
        self._decisions = decisions
        self._evidence = evidence
        self._this_run = ThisRun(rollout.project.config.orchestrator_grace_s)
        self.stage = rollout.project.config.stages[0]
        """The stage under way."""
        self._reached = rollout.share

    def may_reach(self, stage: StageConfig) -> None:
        """Note that the candidate may have the stage's share from now on; a tag that says more is not believed."""
        self._reached = max(self._reached, stage.traffic)

    async def step(self, do: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **named: P.kwargs) -> T:
        """Do a step once Prefect's server shows that the run is to go on, and nobody has paused it.

        Raises:
            Changed: Somebody else changed the candidate, and nothing else.
            Drifted: Somebody else changed the endpoint, and it is to be rolled back.
            LeftAsIs: Somebody else changed the endpoint, and nobody wants it put back.
            Stopped: The run is not to go on.
        """
        await self._this_run.ready()
        return await self.anyway(do, *args, **named)

    async def anyway(self, do: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **named: P.kwargs) -> T:
        """Do a step, whatever becomes of Prefect's server.

        Raises:
            Changed: Somebody else changed the candidate, and nothing else.
            Drifted: Somebody else changed the endpoint, and it is to be rolled back.
            LeftAsIs: Somebody else changed the endpoint, and nobody wants it put back.
        """
        while True:
            try:
                return await do(*args, **named)
            except (LeftAsIs, Changed):
                raise
            except Drifted as found:
                if self._rollout.project.config.on_drift is OnDrift.ROLLBACK:
                    raise
                decision = await settle(self._rollout, self.stage, self._evidence, found, at_most=self._reached)
                if self._decisions and self._decisions[-1].evidence == decision.evidence:
                    msg = f"{found}; {LEFT_AS_IS}, since that was put back and changed again: find out who does it"
                    raise LeftAsIs(msg) from found
                self._decisions.append(decision)
