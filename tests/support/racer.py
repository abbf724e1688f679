"""One of two processes that start rollouts of the same endpoints at the same time; `test_lock.py` runs it.

It takes a line a round: `go N`, whereupon it starts one on each endpoint and prints what became of them as JSON, or
`free`, whereupon it removes the records of those that began.
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from saferollout.azure.client import Client
from saferollout.azure.workspace import Workspace
from saferollout.config import project
from saferollout.config.project import Project, resolve_workspace
from saferollout.domain.errors import Taken
from saferollout.rollout.begin import begin
from saferollout.rollout.owner import Owner
from saferollout.rollout.record import Record
from saferollout.rollout.rollout import Rollout


def main(name: str, configs: list[str]) -> None:
    """Race until standard input ends."""
    projects = [project.load(Path(config)) for config in configs]
    workspaces = [Workspace(Client(resolve_workspace(None))) for _ in projects]
    for workspace in workspaces:
        workspace.endpoints()  # signed in before the race
    begun: list[Rollout | None] = []

    def start(workspace: Workspace, found: Project, number: str) -> tuple[Rollout | None, str]:
        owner = Owner(name=f"{name}@laptop", flow_run=f"run-{number}-of-{name}")
        try:
            rollout = begin(workspace, found, owner, gone=None, begun_before=False)
        except Taken as taken:
            return None, str(taken)
        return rollout, "" if rollout else "there was nothing to do"

    def free(workspace: Workspace, rollout: Rollout | None) -> None:
        if rollout and (record := Record.from_tags(workspace.get_endpoint(rollout.endpoint).tags)):
            workspace.update_endpoint(rollout.endpoint, tags=record.removed_from)

    print("ready", flush=True)
    with ThreadPoolExecutor(len(projects)) as pool:
        for line in sys.stdin:
            if line.startswith("go"):
                ends = list(pool.map(start, workspaces, projects, [line.split()[1]] * len(projects)))
                begun = [rollout for rollout, _ in ends]
                refusals = {found.endpoint: why for found, (_, why) in zip(projects, ends, strict=True)}
                print(json.dumps(refusals), flush=True)
            else:
                list(pool.map(free, workspaces, begun))
                print("free", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
