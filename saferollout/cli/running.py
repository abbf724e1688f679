"""Run flows from the command line: here in this process, or on the Prefect server's workers."""

import asyncio
import contextlib
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

from rich.console import Console

from saferollout import daemon, project
from saferollout.cli.choices import Approve
from saferollout.config import ModelVersion
from saferollout.errors import Refused, SaferolloutError
from saferollout.outcome import Outcome
from saferollout.project import Project
from saferollout.record import Owner

DEPLOYMENT = "rollout/rollout"


def flow_here(flow: Any, **parameters: Any) -> Any:
    """Run a flow in this process and return its result; its failure is raised as it was.

    An interrupt (Ctrl-C) ends it at once: each of these flows does what is left when it is run again.
    """
    with _stdout_for_results():
        try:
            return _result(asyncio.run(_state_of(flow, parameters)))
        except KeyboardInterrupt:
            msg = f"interrupted: the {flow.name} is not done, and what Azure has begun goes on; repeat the command"
            raise SaferolloutError(msg) from None


def rollout_here(config: Path, model: ModelVersion | None, how: Approve) -> Outcome:
    """Run a rollout in this process, with its approvals answered as the user chose.

    An interrupt (Ctrl-C) rolls back before the command ends, a second one ends it at once.
    """
    found = project.load(config, model)  # before Prefect is even started: mistakes are told at once
    with _stdout_for_results():
        try:
            outcome = _result(asyncio.run(_attended(config, model, how)))
        except KeyboardInterrupt:
            raise _undone(found) from None
    if not isinstance(outcome, Outcome):
        msg = f"the rollout ended without a result: {outcome!r}"
        raise SaferolloutError(msg)
    return outcome


def _undone(found: Project) -> Refused:
    """Roll back what an interrupted rollout of this process began, never anybody else's, and say so."""
    from saferollout.azure import Workspace
    from saferollout.restore import restore_own

    here = Owner.here("", in_process=True)
    print("interrupted: rolling back what was begun, after the step under way; Ctrl-C again leaves it", file=sys.stderr)
    try:
        daemon.join(daemon.STEP)
        undone = restore_own(
            Workspace(found.config.workspace),
            found.endpoint,
            lambda owner: owner.model_copy(update={"flow_run": ""}) == here,
        )
    except KeyboardInterrupt:
        msg = f"interrupted again: not rolled back; `saferollout rollback {found.endpoint}` does it"
        raise SaferolloutError(msg) from None
    return Refused("interrupted; rolled back to the baseline" if undone else "interrupted; there was nothing to undo")


def submit(config: Path, model: ModelVersion | None) -> dict[str, str]:
    """Start the deployed rollout; Refused if it is not deployed."""
    found = project.load(config, model)
    from saferollout.azure_yaml import check  # only now: its import is slow, and the first to want a network

    check(found)
    return asyncio.run(_submit({"config": str(config.absolute()), "model": model.model_dump() if model else None}))


async def _submit(parameters: dict[str, Any]) -> dict[str, str]:
    from prefect.deployments import arun_deployment
    from prefect.exceptions import ObjectNotFound

    try:
        run = await arun_deployment(DEPLOYMENT, parameters=parameters, timeout=0)
    except ObjectNotFound:
        msg = f"deployment {DEPLOYMENT} is not on this Prefect server; run `prefect deploy --all` first"
        raise Refused(msg) from None
    return {"flow_run": str(run.id), "name": run.name, "link": await link_to(run.id)}


async def link_to(run_id: UUID) -> str:
    """The address of a run's page in Prefect's UI."""
    from prefect import get_client

    async with get_client() as client:
        return f"{str(client.api_url).rstrip('/').removesuffix('/api')}/runs/flow-run/{run_id}"


async def _attended(config: Path, model: ModelVersion | None, how: Approve) -> Any:
    from flows.rollout import rollout
    from saferollout.cli.approvals import asker, attend

    begun: asyncio.Future[UUID] = asyncio.get_running_loop().create_future()

    def note(_flow: Any, flow_run: Any, _state: Any) -> None:
        if not begun.done():
            begun.set_result(flow_run.id)

    hook: Any = note  # Prefect's type of a hook names parameters that this one ignores

    async def answer() -> None:
        run_id = await begun
        link, command = await link_to(run_id), f"saferollout approve {run_id}"
        try:
            await attend(run_id, asker(how, Console(stderr=True), link, command))
        except Exception as error:  # noqa: BLE001  # whatever it is, the rollout itself goes on and waits
            print(
                f"no answer can be given here ({error or type(error).__name__}): answer at {link} or with `{command}`",
                file=sys.stderr,
            )

    answering = asyncio.create_task(answer())
    try:
        parameters = {"config": str(config), "model": model}
        return await _state_of(rollout.with_options(on_running=[hook]), parameters)
    finally:
        answering.cancel()


async def _state_of(flow: Any, parameters: dict[str, Any]) -> Any:
    state = await flow(**parameters, return_state=True)
    return await state.result(raise_on_failure=False)


def _result(result: Any) -> Any:
    if isinstance(result, BaseException):
        raise result
    return result


@contextlib.contextmanager
def _stdout_for_results() -> Any:
    """Keep what libraries print out of the result's way: stdout is for it alone."""
    with contextlib.redirect_stdout(sys.stderr):
        yield
