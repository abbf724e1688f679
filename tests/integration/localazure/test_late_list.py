"""A list of deployments that is older than the endpoint's own state is not taken for somebody else's change."""

import time
from pathlib import Path

import pytest

from localazure.testing import LocalAzure
from saferollout.azure.client import Client
from saferollout.azure.workspace import Workspace
from saferollout.config.project import resolve_workspace
from saferollout.config.rollout import OnDrift
from saferollout.rollout.begin import begin
from saferollout.rollout.create import create_candidate
from saferollout.rollout.owner import Owner
from saferollout.rollout.scale import scale_candidate, scale_live
from saferollout.rollout.shift import shift_traffic
from tasks import guard
from tasks.guard import Guard
from tasks.support.kept import looks_in
from tests.chaos.core import Site

NAME = "late-list"


async def test_a_late_list_is_no_drift(azure: LocalAzure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guard looks when the candidate has users, and is shown live unscaled and no candidate: it looks once more."""
    monkeypatch.setattr(guard, "LOOK_S", 2.0)
    config = resolve_workspace(None)
    site = Site(NAME, tmp_path / "site", config)
    project = site.project(scales=True)
    project = project.model_copy(update={"config": project.config.model_copy(update={"on_drift": OnDrift.ROLLBACK})})
    there = Workspace(Client(config))
    rollout = begin(there, project, Owner(name="ann@laptop", flow_run="run-1"), gone=None, begun_before=False)
    assert rollout is not None
    before = time.monotonic()
    scale_live(there, rollout)
    create_candidate(there, rollout)
    scale_candidate(there, rollout, 10)
    shift_traffic(there, rollout, 10, None)
    age_s = time.monotonic() - before
    looks, projects = looks_in(str(tmp_path / "looks")), {NAME: project}

    with azure.chaos.stale(age_s, path=f"onlineEndpoints/{NAME}/deployments"):
        assert list(there.get_endpoint(NAME).deployments) == ["blue"]
        looked = await Guard(config, looks, projects=projects, late_s=age_s + 1).look_after(NAME)

        assert "rolled back" not in looked
        assert there.get_endpoint(NAME).traffic == {"blue": 90, "green": 10}

    there.scale_up(NAME, "blue", 3)  # somebody else does
    looked = await Guard(config, looks, projects=projects, late_s=0.1).look_after(NAME)
    assert looked.startswith("rolled back: deployment blue has 3 instances"), looked
    there.delete_endpoint(NAME)
