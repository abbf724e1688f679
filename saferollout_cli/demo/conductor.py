"""The demo: a whole rollout on this machine, in its order, with nothing left behind."""

import asyncio
import contextlib
import importlib.util
import itertools
import json
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn
from uuid import UUID

from rich.console import Console
from rich.markdown import Markdown
from ruamel.yaml import YAML

from saferollout.config.request import CONFIGS
from saferollout.domain.errors import AzureFailed, ConfigError, Problem
from saferollout.domain.text import printable
from saferollout.report.outcome import Outcome, StepRun, once
from saferollout_cli.choices import Approve, Candidate
from saferollout_cli.demo import processes
from saferollout_cli.demo.screen import Screen, Shown
from saferollout_cli.setup import HOME, set_up
from saferollout_cli.terminal import print_result
from tasks.support.race import first_of

NEEDED_TO_TRAIN = ("joblib", "scipy", "sklearn")
FIRST = "configs/diabetes/blue-deployment.yml"
START_TIMEOUT_S = 120.0
TRAIN_TIMEOUT_S = 300.0


@dataclass
class Options:
    """What the user asked for."""

    candidate: Candidate
    approve: Approve
    requests_per_s: float
    handoff: bool
    """Whether a retraining registers the candidate's model and asks for its rollout."""


def conduct(
    candidate: Candidate,
    approve: Approve,
    requests_per_s: float,
    state_dir: Path | None,
    *,
    handoff: bool,
    as_json: bool,
) -> int:
    """Run the demo and return its exit code: 0 promoted, 1 rolled back, 130 interrupted."""
    if handoff:
        _check_handoff(candidate)
    if not (HOME / "configs" / "rollout.yaml").exists():
        raise ConfigError(
            Problem(str(HOME), "", "holds no configs/", "install the wheel again, or run the demo from a clone")
        )
    console = Console(stderr=True)
    options = Options(candidate, approve, requests_per_s, handoff)
    try:
        with _directory(state_dir) as directory:
            result, report = _Demo(options, directory, console).run()
    except KeyboardInterrupt:
        console.print("\nInterrupted: everything that the demo started is stopped.")
        return 130
    console.print(Markdown(printable(report)))
    if as_json:
        print_result(result, "", as_json=True)
    requests = result["requests"]
    console.print(f"\nUsers sent {requests['total']:,} requests; {requests['failed']} of them failed.", highlight=False)
    return 0 if result["outcome"] == "promoted" else 1


class _Demo:
    def __init__(self, options: Options, directory: Path, console: Console) -> None:
        self._options = options
        self._directory = directory
        self._console = console
        candidate = "retrained" if options.handoff else options.candidate.value
        self._shown = Shown(title=f"Safe Rollout · diabetes · {candidate} candidate")
        self._screen = Screen(console, self._shown)
        self._users: dict[str, Any] = {"total": 0, "failed": 0}
        self._retrained = ""
        """What the retraining has done, in a sentence; empty without one."""

    def run(self) -> tuple[dict[str, Any], str]:
        """Start everything, roll out, stop everything; return the result and the report."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._screen)
            self._screen.status("starting local Azure and a Prefect server")
            env = processes.prefect_env(self._directory)
            server = stack.enter_context(processes.prefect_server(self._directory, env, HOME))
            azure, exports = processes.local_azure(self._directory, env, HOME)
            stack.enter_context(azure)
            configs = os.pathsep.join([str(HOME / "configs"), str(self._directory)])
            env |= exports | {"SAFEROLLOUT_HOME": str(HOME), CONFIGS: configs}
            server.wait_until(processes.healthy(env["PREFECT_API_URL"]), START_TIMEOUT_S)
            self._screen.status("putting the flows on the server")
            for name in [name for name in os.environ if name.startswith("PREFECT_")]:
                del os.environ[name]
            os.environ.update(env)  # before Prefect and Azure's client are imported here
            set_up()
            worker = stack.enter_context(processes.prefect_worker(self._directory, env, HOME))
            config = self._config()
            outcome = asyncio.run(self._roll_out(stack, config, env, [server, azure, worker]))
        self._shown.status = ""
        result = outcome.model_dump(mode="json") | {
            "requests": {"total": self._users["total"], "failed": self._users["failed"]},
            "report": outcome.report,
        }
        if self._retrained:
            result["retraining"] = self._retrained
        return result, outcome.report

    async def _roll_out(
        self, stack: contextlib.ExitStack, config: Path, env: dict[str, str], parts: list[processes.Process]
    ) -> Outcome:
        from prefect.deployments import arun_deployment

        from saferollout.azure.client import Client
        from saferollout.azure.workspace import Workspace
        from saferollout.config.project import load
        from saferollout_cli.approvals import asker, attend

        self._screen.status("bootstrapping blue with model v1")
        first = {"config": str(config), "deployment": str(HOME / FIRST)}
        run = await first_of(arun_deployment("bootstrap/bootstrap", parameters=first, poll_interval=1), _missing(parts))
        if run.state is None or not run.state.is_completed():
            raise processes.DemoFailed(f"the bootstrap ended {_ending_of(run)}")
        found = load(config)
        workspace = Workspace(await asyncio.to_thread(Client, found.config.workspace))
        state = await asyncio.to_thread(workspace.get_endpoint, found.endpoint)
        arguments = {
            "uri": state.scoring_uri,
            "requests": str(found.requests_path),
            "requests_per_s": self._options.requests_per_s,
            "tolerance": found.config.smoke_test.tolerance,
        }
        key = await asyncio.to_thread(workspace.secret, found.endpoint)
        users = processes.users(arguments, self._directory, env | {"USERS_KEY": key}, HOME)
        counting = threading.Thread(target=self._count, args=(users,), daemon=True)
        counting.start()
        stack.enter_context(users)
        if self._options.handoff:
            run_id = await first_of(self._handed_over(found.endpoint, env), _missing([*parts, users]))
        else:
            run_id = (await arun_deployment("rollout/rollout", parameters={"config": str(config)}, timeout=0)).id
        self._screen.status("rolling out")
        self._shown.link = f"{env['PREFECT_API_URL'].removesuffix('/api')}/runs/flow-run/{run_id}"
        command = f"PREFECT_API_URL={env['PREFECT_API_URL']} {sys.argv[0]} approve {run_id}"
        ways = f"answer at {self._shown.link} (Resume), or with `{command}`"
        ask = self._asking(asker(self._options.approve, self._console, ways))
        run = await first_of(
            attend(run_id, ask, self._console.print),
            self._watch(run_id, workspace, found.endpoint),
            _missing([*parts, users]),
        )
        users.stop()
        counting.join(timeout=30)
        result = await run.state.aresult(raise_on_failure=False) if run.state else None
        if not isinstance(result, Outcome):
            raise processes.DemoFailed(f"the rollout ended {_ending_of(run)}")
        return result

    async def _handed_over(self, endpoint: str, env: dict[str, str]) -> UUID:
        """Train a model, which asks for its rollout by an event; return the run that the event starts.

        Raises:
            DemoFailed: The model is not better than the live one, or no run has begun in time.
        """
        from prefect import get_client
        from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName

        from tasks.support.polling import poll

        self._screen.status("training a new model, and comparing it with the live one")
        with processes.retraining(endpoint, self._directory, env, HOME) as retraining:
            self._retrained = (await asyncio.to_thread(retraining.first_line, TRAIN_TIMEOUT_S, "end")).strip()
        if not self._retrained.startswith("registered "):
            raise processes.DemoFailed(f"the retraining handed nothing over: {self._retrained}")
        self._screen.status(self._retrained)
        async with get_client() as client:
            of_rollout = DeploymentFilter(name=DeploymentFilterName(any_=["rollout"]))

            async def look() -> UUID | None:
                runs = await client.read_flow_runs(deployment_filter=of_rollout)
                return runs[0].id if runs else None

            run = await poll(look, 1, START_TIMEOUT_S)
        if run is None:
            raise processes.DemoFailed(f"no rollout began within {START_TIMEOUT_S:.0f} s after its request")
        return run

    async def _watch(self, run_id: UUID, workspace: Any, endpoint: str) -> NoReturn:
        """Keep the screen current; what passes only leaves it as it is for a while."""
        import httpx
        from prefect import get_client

        from tasks.support.orchestrator import passing

        async with get_client() as client:
            while True:
                try:
                    await self._look(client, run_id, workspace, endpoint)
                except (httpx.HTTPError, AzureFailed) as error:
                    if not (error.retryable if isinstance(error, AzureFailed) else passing(error)):
                        raise
                self._screen.update()
                await asyncio.sleep(1)

    async def _look(self, client: Any, run_id: UUID, workspace: Any, endpoint: str) -> None:
        """Note how far the rollout is."""
        from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
        from prefect.client.schemas.sorting import TaskRunSort

        of_run = FlowRunFilter(id=FlowRunFilterId(any_=[run_id]))
        runs = await client.read_task_runs(flow_run_filter=of_run, sort=TaskRunSort.EXPECTED_START_TIME_ASC)
        self._shown.steps = once(
            StepRun(
                name=run.name,
                state=run.state_name or "",
                attempts=run.run_count,
                duration_s=run.estimated_run_time.total_seconds(),
            )
            for run in runs
        )
        state = await asyncio.to_thread(workspace.get_endpoint, endpoint)
        self._shown.traffic = state.traffic
        self._shown.instances = {name: deployment.instance_count for name, deployment in state.deployments.items()}
        run = await client.read_flow_run(run_id)
        self._shown.status = status_of(run.state)

    def _asking(self, ask: Any) -> Any:
        """Ask with the live display out of the way."""
        asked = itertools.count(1)

        async def quietly(question: Any) -> Any:
            if self._options.approve is Approve.AUTO:
                late = self._options.candidate is Candidate.LATE and next(asked) > 1
                return None if late else await ask(question)  # the candidate goes bad while the question is open
            self._screen.pause()
            answer = await ask(question)
            self._screen.resume()
            return answer

        return quietly

    def _count(self, users: processes.Process) -> None:
        """Take in what the users' process prints, until its end."""
        for line in users.lines:
            self._users = json.loads(line)
            self._shown.total, self._shown.failed = self._users["total"], self._users["failed"]

    def _config(self) -> Path:
        """The rollout's config with the chosen candidate in it."""
        source = HOME / "configs" / "rollout.yaml"
        yaml = YAML()  # which keeps the comments
        content = yaml.load(source)
        content["endpoint"] = str(source.parent / content["endpoint"])
        good = source.parent / content["deployment"]
        candidate = self._options.candidate
        content["deployment"] = str(
            good if candidate is Candidate.GOOD else good.parent / "candidates" / f"{candidate.value}.yml"
        )
        content["smoke_test"]["requests"] = str(good.parent / "requests.jsonl")
        path = self._directory / "rollout.yaml"
        yaml.dump(content, path)
        return path


def _check_handoff(candidate: Candidate) -> None:
    """Check that a model can be trained here, and that no other candidate is wanted.

    Raises:
        ConfigError: It cannot, or one is.
    """
    problems = []
    if candidate is not Candidate.GOOD:
        problem = f"rolls a newly trained model out, not the candidate {candidate.value}"
        problems.append(Problem("command line", "--handoff", problem, "leave --candidate out"))
    if missing := [name for name in NEEDED_TO_TRAIN if importlib.util.find_spec(name) is None]:
        problem = f"trains a model, which needs {', '.join(missing)}: not installed"
        problems.append(Problem("command line", "--handoff", problem, "install the wheel with [local,retrain]"))
    if problems:
        raise ConfigError(*problems)


def status_of(state: Any) -> str:
    """What to say of a run's state above its steps."""
    if state is None or state.is_scheduled() or state.is_pending():
        return "the worker is starting the run"
    return "waiting for a decision" if state.is_paused() else ""


def _ending_of(run: Any) -> str:
    """How a run ended that has no result, for an error."""
    name = run.state_name or "without a state that Prefect shows"
    return f"{name}: {run.state.message}" if run.state and run.state.message else name


async def _missing(parts: Sequence[processes.Process]) -> NoReturn:
    """DemoFailed as soon as a part of the demo has ended: without it nobody would take up the work, or answer."""
    while True:
        for part in parts:
            if not part.running():
                raise part.failed("ended before the rollout did")
        await asyncio.sleep(1)


@contextlib.contextmanager
def _directory(chosen: Path | None) -> Iterator[Path]:
    """The chosen directory, or a temporary one that is removed afterwards."""
    if chosen is not None:
        chosen.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(chosen.iterdir()):
            raise ConfigError(Problem("command line", "--state-dir", f"{chosen} is not empty", "name a new folder"))
        usual = os.umask(0o077)  # what is kept has keys, models and requests of somebody
        try:
            yield chosen.resolve()
        finally:
            os.umask(usual)
        return
    directory = Path(tempfile.mkdtemp(prefix="saferollout-demo-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
