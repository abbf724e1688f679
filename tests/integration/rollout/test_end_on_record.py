"""The end of a rollout comes into the history once, also where Prefect's server is busy just then."""

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_CLIENT_MAX_RETRIES,
    PREFECT_LOCAL_STORAGE_PATH,
    temporary_settings,
)

from saferollout.approvals.keys import KEY
from saferollout.domain.endpoint import Decision
from saferollout.rollout.record import now
from tasks.report import report
from tasks.support.polling import poll
from tests.support.answers import events_of
from tests.support.asking import Case, current, deployed, go_on
from tests.support.prefect import Server
from tests.support.signing import make_keys, make_pem

# Prefect's engine leaves the connection open by which it asks where results are kept
pytestmark = [pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"), pytest.mark.xdist_group("server")]
PEM = make_pem()


class Ending(Case):
    """It is reported while somebody else writes to the database of Prefect's server, and once more afterwards."""

    def __init__(self, database: Path, logs: pytest.LogCaptureFixture) -> None:
        super().__init__()
        self._database = database
        self._logs = logs

    async def ask(self) -> Decision:
        """Report twice, as a process does that is killed before its run has heard of the end."""
        with contextlib.closing(sqlite3.connect(self._database, isolation_level=None)) as writer:
            writer.execute("BEGIN IMMEDIATE")
            reporting = asyncio.create_task(report(self.rollout, "promoted", "", [], self.evidence))
            assert await poll(self._is_asked_again, 0.1, 120)
            writer.execute("ROLLBACK")
            await reporting
        await report(self.rollout, "promoted", "", [], self.evidence)
        return Decision(stage=10, share=10, decision="approve", approver="Ann", at=now(), evidence="")

    async def _is_asked_again(self) -> bool | None:
        return "Prefect's server fails; asked again" in self._logs.messages or None


@pytest.fixture(autouse=True)
def worker(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Iterator[None]:
    """This process has what a worker has, a key; its client of Prefect does not try again by itself."""
    monkeypatch.setenv(KEY, PEM)
    log = logging.getLogger("prefect.task_runs")
    log.addHandler(caplog.handler)
    settings = {
        PREFECT_API_URL: server.url,
        PREFECT_LOCAL_STORAGE_PATH: tmp_path,
        PREFECT_CLIENT_MAX_RETRIES: 0,
    }
    with temporary_settings(settings):
        yield
    log.removeHandler(caplog.handler)


async def test_the_end_is_on_record_once_though_the_server_is_busy(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """A locked database answers 503 after a minute: it is asked again; a second report of the same end adds nothing.

    What cannot be shown meanwhile is in the log, with the reason.
    """
    with current(Ending(server.database, caplog)) as case:
        assert (await go_on(await deployed())).name == "Completed"

        assert await events_of(case, make_keys(PEM)) == {"outcome": 1}
    assert "not shown: Prefect took longer than 10 s" in caplog.messages
