"""What the project needs on a Prefect server: compare it with `prefect.yaml`, and put it there."""

import asyncio
import contextlib
import io
import json
import os
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from saferollout.config import yaml_file
from saferollout.domain.errors import ConfigError, Problem, Refused, SaferolloutError, words_of
from saferollout_cli.environment import check_server
from saferollout_cli.pool import KUBERNETES, Pool, read_pool
from saferollout_cli.pull import FOLDER, NONE, OPTION, with_pull
from saferollout_cli.terminal import print_result

if TYPE_CHECKING:  # Prefect takes a second to import, and the demo needs only to know where the files are
    from prefect.client.orchestration import PrefectClient

    from saferollout_cli.deployments import Deployment

CLONE = Path(__file__).parents[1]
INSTALLED = Path(sysconfig.get_path("data")) / "share" / "saferollout"
HOME = CLONE if (CLONE / "prefect.yaml").exists() else INSTALLED
"""Where `prefect.yaml` and `configs/` are: in a clone, or where the wheel has put them."""

POOL = "rollouts"
ON_REQUEST = "teardown"
"""The deployment that is there only where it is asked for: whoever reaches it deletes endpoints."""
POOL_DESCRIPTION = "Runs Safe Rollout's flows. Its job template lets no run choose a command or an environment."


class SetupFailed(SaferolloutError):
    """Prefect's server does not answer, or did not take what it was given."""

    exit_code = 3


@dataclass(frozen=True)
class ServerDifference:
    """Something on the server that is missing or not as it must be, and what mends it."""

    what: str
    problem: str
    remedy: str = "`saferollout setup`"
    deployment: str = ""
    """The name of the one that must be deployed again for it."""

    def __str__(self) -> str:
        return f"{self.what} {self.problem}; {self.remedy} mends it"


def setup(
    check: Annotated[
        bool,
        typer.Option("--check", help="Change nothing: list what is missing or different, and exit 1 if anything is."),
    ] = False,
    with_teardown: Annotated[
        bool, typer.Option("--with-teardown", help="Deploy teardown, too, which deletes endpoints.")
    ] = False,
    pull: Annotated[
        str | None,
        typer.Option(
            OPTION,
            envvar="SAFEROLLOUT_PULL",
            help="Where runs get the flows from: folder (SAFEROLLOUT_HOME), none (installed; the default with --job), "
            "or a git address.",
        ),
    ] = None,
    job: Annotated[
        Path | None,
        typer.Option(
            "--job",
            envvar="SAFEROLLOUT_JOB",
            help="Make each run a Kubernetes Job of this manifest (YAML); default: a process of a worker.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object on stdout.")] = False,
) -> None:
    """Put on the Prefect server what the project needs: work pool, deployments, automations, limits."""
    check_server()
    found = set_up(check=check, with_teardown=with_teardown, pull=pull, job=job)
    result, text = report(found, check=check)
    print_result(result, text, as_json=as_json)
    sys.exit(1 if check and found else 0)


def set_up(
    *, check: bool = False, with_teardown: bool = False, pull: str | None = None, job: Path | None = None
) -> list[ServerDifference]:
    """Put the work pool, the deployments and their automations and limits on the server that Prefect's settings name.

    Args:
        check: Change nothing.
        with_teardown: Deploy `teardown`, too.
        pull: Where the workers get the flows from; see `saferollout_cli.pull.with_pull`. None: the folder, or with a
            `job` its image.
        job: The manifest of the Kubernetes Job that each run is; None: each is a process of a worker.

    Returns:
        What was, or with `check` is, missing or different.

    Raises:
        ConfigError: `prefect.yaml` is missing, or not what Prefect can deploy; or the manifest is not what it must be.
        Refused: The work pool is of another type.
        SetupFailed: The server does not answer, or what was put there is not as it must be.
    """
    from saferollout_cli.deployments import read

    path = Path(os.environ.get("SAFEROLLOUT_HOME") or HOME) / "prefect.yaml"
    pool = read_pool(job)
    content = with_pull(yaml_file.read(path), _pull(pull, job))
    wanted = [deployment for deployment in read(content, path) if with_teardown or deployment.name != ON_REQUEST]
    asyncio.run(_reach())
    found = asyncio.run(_compare(pool, wanted))
    if found and not check:
        asyncio.run(_mend_pool(pool))
        if names := list(dict.fromkeys(filter(None, (difference.deployment for difference in found)))):
            _deploy(content, names)
        asyncio.run(_finish(wanted))
        if left := asyncio.run(_compare(pool, wanted)):
            raise SetupFailed("still not as it must be: " + "; ".join(map(str, left)))
    return found


def _pull(given: str | None, job: Path | None) -> str:
    if job and given == FOLDER:
        remedy = "leave it out: a Job has what its image has; or write none or the address of a git repository"
        raise ConfigError(Problem("command line", OPTION, f"is {FOLDER!r}, where each run is a Kubernetes Job", remedy))
    return given or (NONE if job else FOLDER)


def report(found: Sequence[ServerDifference], *, check: bool) -> tuple[dict[str, Any], str]:
    """What a setup says at its end: as JSON, and as markdown."""
    outcome = "complete" if not found else "incomplete" if check else "changed"
    head = {
        "complete": "All is there: nothing to change.",
        "incomplete": "Missing or different; nothing was changed:",
        "changed": "All is there now; this was not:",
    }[outcome]
    lines = [str(difference) if check else f"{difference.what} {difference.problem}" for difference in found]
    differences = [{"what": one.what, "problem": one.problem, "remedy": one.remedy} for one in found]
    return {"outcome": outcome, "differences": differences}, "\n".join([head, "", *(f"- {line}" for line in lines)])


async def _reach() -> None:
    """Look whether anything answers, once: Prefect's client itself would go on trying for a minute."""
    import httpx
    from prefect import get_client
    from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):
        async with get_client() as client:
            error = await client.api_healthcheck()
    if isinstance(error, httpx.TransportError):
        why = words_of(error)
        msg = f"Prefect's server does not answer at {client.api_url}: {why}; start it, or correct PREFECT_API_URL"
        raise SetupFailed(msg)


async def _compare(pool: Pool, wanted: "Sequence[Deployment]") -> list[ServerDifference]:
    from prefect import get_client

    from saferollout_cli import deployments
    from tasks.support.orchestrator import if_known

    async with get_client() as client:
        found = await _compare_pool(client, pool)
        for deployment in wanted:
            name = f"deployment {deployment.full_name}"
            if (there := await if_known(client.read_deployment_by_name(deployment.full_name))) is None:
                found.append(ServerDifference(name, "is missing", deployment=deployment.name))
                continue
            if differing := deployments.differences(deployment, there):
                problem = f"is not as prefect.yaml says: {', '.join(differing)}"
                found.append(ServerDifference(name, problem, deployment=deployment.name))
            automations = await deployments.missing_automations(client, deployment, there)
            for automation, exists in automations.items():
                problem = "is not as prefect.yaml says" if exists else "is missing"
                found.append(
                    ServerDifference(f"automation {automation!r} of {name}", problem, deployment=deployment.name)
                )
        for name in await _superfluous(client, wanted):
            asked = " and was not asked for (--with-teardown)" if name == ON_REQUEST else ", but not in prefect.yaml"
            found.append(ServerDifference(f"deployment {name}", f"is on the server{asked}"))
    return found


async def _compare_pool(client: "PrefectClient", wanted: Pool) -> list[ServerDifference]:
    from tasks.support.orchestrator import if_known

    pool = await if_known(client.read_work_pool(POOL))
    if pool is None:
        return [ServerDifference(f"work pool {POOL}", "is missing")]
    if pool.type != wanted.type:
        msg = (
            f"work pool {POOL} is of type {pool.type} and must be of type {wanted.type}: "
            f"`prefect work-pool delete {POOL}`, then `saferollout setup`"
        )
        if pool.type == KUBERNETES:
            msg += "; or, where each run is to be a Kubernetes Job, give --job its manifest"
        raise Refused(msg)
    found = []
    if pool.base_job_template != wanted.template_beside(pool.base_job_template):
        found.append(ServerDifference(f"work pool {POOL}", f"has another job template: {wanted.mistake}"))
    if pool.is_paused:
        found.append(ServerDifference(f"work pool {POOL}", "is paused"))
    return found


async def _superfluous(client: "PrefectClient", wanted: "Sequence[Deployment]") -> dict[str, Any]:
    """The project's deployments on the server that are not wanted: their ids by their names."""
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags

    from saferollout_cli.deployments import TAG

    names = {deployment.name for deployment in wanted}
    tagged = DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG]))
    return {
        deployment.name: deployment.id
        for deployment in await client.read_deployments(deployment_filter=tagged)
        if deployment.name not in names
        and deployment.work_pool_name == POOL
        and (deployment.entrypoint or "").startswith("flows.")
    }


async def _mend_pool(wanted: Pool) -> None:
    from prefect import get_client
    from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate

    from tasks.support.orchestrator import if_known

    async with get_client() as client:
        pool = await if_known(client.read_work_pool(POOL))
        template = wanted.template_beside(pool.base_job_template if pool else {})
        if pool is None:
            made = WorkPoolCreate(name=POOL, type=wanted.type, description=POOL_DESCRIPTION, base_job_template=template)
            await client.create_work_pool(made)
        elif pool.is_paused or pool.base_job_template != template:
            await client.update_work_pool(POOL, WorkPoolUpdate(is_paused=False, base_job_template=template))


def _deploy(content: dict[str, Any], names: Sequence[str]) -> None:
    """Deploy some of the deployments as `prefect deploy` does, in this process: imports are half the cost."""
    from prefect.cli import app

    arguments, said = sys.argv, io.StringIO()
    code: Any = 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "prefect.yaml"
        path.write_text(json.dumps(content), encoding="utf-8")  # JSON is YAML, too
        sys.argv = ["prefect", "--no-prompt", "deploy", "--prefect-file", str(path)]
        sys.argv += [word for name in names for word in ("--name", name)]
        try:
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                app()
        except SystemExit as end:
            code = end.code
        finally:
            sys.argv = arguments
    if code:
        msg = f"prefect deploy failed: {' '.join(said.getvalue().split())[-1000:]}"
        raise SetupFailed(msg)


async def _finish(wanted: "Sequence[Deployment]") -> None:
    """Do what `prefect deploy` does not: set back what prefect.yaml leaves out, delete what is not wanted."""
    from prefect import get_client
    from prefect.client.schemas.actions import DeploymentUpdate

    from saferollout_cli.deployments import differences
    from tasks.support.orchestrator import if_known

    async with get_client() as client:
        for deployment in wanted:
            there = await if_known(client.read_deployment_by_name(deployment.full_name))
            left = differences(deployment, there) if there else []
            if there and (names := {"paused", "enforce_parameter_schema"}.intersection(left)):
                usual = DeploymentUpdate.model_validate({name: deployment.settings[name] for name in names})
                await client.update_deployment(there.id, usual)
            if there and "schedules" in left and not deployment.schedules:
                for schedule in there.schedules:
                    await client.delete_deployment_schedule(there.id, schedule.id)
        for deployment_id in (await _superfluous(client, wanted)).values():
            await client.delete_resource_owned_automations(f"prefect.deployment.{deployment_id}")
            await client.delete_deployment(deployment_id)
