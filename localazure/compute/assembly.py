"""What runs deployments, put together."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from localazure.arm.assembly import Arm
from localazure.compute.engine import Engine
from localazure.compute.environments import Environments
from localazure.compute.programs import Programs
from localazure.compute.revisions import Revisions
from localazure.compute.runtime import Runtime, Targets
from localazure.gateway import xds
from localazure.gateway.envoy import Gateway
from localazure.storage.assembly import Storage


@dataclass(frozen=True)
class Compute:
    """What runs, and what it takes to make more of it."""

    runtime: Runtime
    programs: Programs
    revisions: Revisions

    @classmethod
    async def build(
        cls,
        arm: Arm,
        state: Path,
        gateway: Gateway,
        storage: Storage,
        endpoints: Callable[[Targets], list[xds.Endpoint]],
    ) -> Self:
        """Put it together; `endpoints` returns what the gateway shall do, given what runs.

        Returns:
            All of it.
        """
        engine = Engine(state)
        await engine.answers()
        programs = Programs(storage.assets, storage.downloads, Environments(arm.clock), engine, storage.collector)
        revisions = Revisions(state / "deployments", storage.downloads, programs)
        return cls(Runtime(gateway, arm.clock, endpoints), programs, revisions)
