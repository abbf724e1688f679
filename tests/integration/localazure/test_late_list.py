"""A guard's look: neither a list that is late, nor what somebody else does meanwhile, is taken for something else."""

import asyncio
import time
from pathlib import Path

import pytest

from localazure.testing import LocalAzure
from saferollout.azure.client import Client
from saferollout.azure.workspace import Workspace
from saferollout.config.project import Project, resolve_workspace
from saferollout.config.rollout import OnDrift
from saferollout.domain.errors import Missing
from saferollout.rollout.begin import begin
from saferollout.rollout.create import create_candidate
from saferollout.rollout.owner import Owner
from saferollout.rollout.record import TAG_HELD
from saferollout.rollout.rollback import roll_back
from saferollout.rollout.scale import scale_candidate, scale_live
from saferollout.rollout.shift import shift_traffic
from tasks import guard
from tasks.guard import Guard
from tasks.support.results import looks_in
from tests.chaos.core import Site
from tests.support.stack import wait_for

NAME = "late-list"


def give_ten_percent(there: Workspace, name: str, directory: Path) -> tuple[Project, float]:
    """Roll out to 10% on an endpoint of this name; return the project, and the moment before that."""
    project = Site(name, directory / "site", resolve_workspace(None)).project(scales=True)
    project = project.model_copy(update={"config": project.config.model_copy(update={"on_drift": OnDrift.ROLLBACK})})
    before = time.monotonic()
    rollout = begin(there, project, Owner(name="ann@laptop", flow_run="run-1"), gone=None, begun_before=False)
    assert rollout is not None
    scale_live(there, rollout)
    create_candidate(there, rollout)
    scale_candidate(there, rollout, 10)
    shift_traffic(there, rollout, 10, None)
    return project, before


async def test_a_late_list_is_no_drift(azure: LocalAzure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guard looks when the candidate has users, and is shown live unscaled and no candidate: it looks once more."""
    monkeypatch.setattr(guard, "LOOK_S", 2.0)
    config = resolve_workspace(None)
    there = Workspace(Client(config))
    project, before = give_ten_percent(there, NAME, tmp_path)
    looks, projects = looks_in(str(tmp_path / "looks")), {NAME: project}

    age_s = time.monotonic() - before
    with azure.chaos.stale(age_s, path=f"onlineEndpoints/{NAME}/deployments"):
        assert list(there.get_endpoint(NAME).deployments) == ["blue"]
        looked = await Guard(config, looks, projects=projects, late_s=age_s + 1).look_after(NAME)

        assert "rolled back" not in looked
        assert there.get_endpoint(NAME).traffic == {"blue": 90, "green": 10}

    there.scale_up(NAME, "blue", 3)  # somebody else does
    looked = await Guard(config, looks, projects=projects, late_s=0.1).look_after(NAME)
    assert looked.startswith("rolled back: deployment blue has 3 instances"), looked
    there.delete_endpoint(NAME)


async def test_a_rollback_meanwhile_is_no_harm(azure: LocalAzure, tmp_path: Path) -> None:
    """Somebody rolls back and deletes the candidate while the guard judges it: that it fails now holds no revision."""
    name = "meanwhile"
    there = Workspace(Client(resolve_workspace(None)))
    project, _ = give_ten_percent(there, name, tmp_path)
    looks = looks_in(str(tmp_path / "looks"))
    log = azure.state_dir / "traffic.jsonl"
    looking = asyncio.create_task(Guard(resolve_workspace(None), looks, projects={name: project}).look_after(name))
    await asyncio.to_thread(wait_for, "a request of the guard", lambda: f"/{name}/" in log.read_text() or None)

    await asyncio.to_thread(roll_back, there, name)
    there.delete_deployment(name, "green")

    assert (await looking).endswith("what was found does not count: the rollout was changed or ended meanwhile")
    assert TAG_HELD not in there.get_endpoint(name).tags
    there.delete_endpoint(name)


@pytest.mark.usefixtures("azure")
async def test_an_endpoint_that_is_deleted_meanwhile_is_no_failure(tmp_path: Path) -> None:
    """One that the guard has listed itself; that one which somebody has named does not exist is said."""
    guarding = Guard(resolve_workspace(None), looks_in(str(tmp_path)))

    assert await guarding.look_after("deleted", is_listed=True) == "the endpoint is gone, and the rollout with it"
    with pytest.raises(Missing, match="endpoint deleted does not exist"):
        await guarding.look_after("deleted")
