"""What Prefect's server does not know, or no longer: a deployment, a run; on a real server that has nothing."""

import asyncio
import subprocess
import sys

import pytest
from prefect import flow, get_client
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from prefect.states import Running

from saferollout.domain.errors import Stopped
from tasks.support.this_run import ThisRun
from tests.support.prefect import Server
from tests.support.stack import REPOSITORY

pytestmark = pytest.mark.xdist_group("server")


@flow
async def going() -> None:
    """What the run here is a run of."""


def test_a_rollout_that_is_not_deployed_cannot_be_submitted(server: Server) -> None:
    """A server without our deployments is named as such, with what to do."""
    program = "import saferollout; saferollout.submit()"

    done = subprocess.run(
        [sys.executable, "-c", program], env=server.env, cwd=REPOSITORY, capture_output=True, text=True, check=False
    )

    refusal = "Refused: deployment rollout/rollout is not on this Prefect server; run `saferollout setup` first"
    assert done.stderr.splitlines()[-1].endswith(refusal)


async def test_a_run_that_is_deleted_goes_no_further(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it does is given up with the reason, and no step begins."""
    with temporary_settings({PREFECT_API_URL: server.url, PREFECT_CLIENT_MAX_RETRIES: 5}):
        async with get_client() as client:
            run = await client.create_flow_run(going, state=Running())
            await client.delete_flow_run(run.id)
        monkeypatch.setenv("PREFECT__FLOW_RUN_ID", str(run.id))
        this_run = ThisRun(grace_s=60)

        for going_on in (this_run.unless_stopped(asyncio.sleep(60)), this_run.ready()):
            with pytest.raises(Stopped, match="the run was deleted in Prefect"):
                await going_on
