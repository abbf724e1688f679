"""What runs deployments, put together."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from localazure.arm.assembly import Arm
from localazure.arm.managed_identity import ENDPOINTS
from localazure.compute.engine import Engine
from localazure.compute.environments import Environments
from localazure.compute.programs import Programs
from localazure.compute.revisions import Revisions
from localazure.compute.runtime import Runtime, Targets
from localazure.compute.zygotes import Zygotes
from localazure.core.certificates import Certificates
from localazure.gateway import xds
from localazure.gateway.envoy import Gateway
from localazure.storage.assembly import Storage


@dataclass(frozen=True)
class Compute:
    """What runs, and what it takes to make more of it."""

    runtime: Runtime
    programs: Programs
    revisions: Revisions
    zygotes: Zygotes

    @classmethod
    async def build(
        cls,
        arm: Arm,
        state: Path,
        tls: Certificates,
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
        surroundings = {
            "MSI_ENDPOINT": arm.managed_identity.endpoint,
            "MSI_SECRET": arm.managed_identity.header(ENDPOINTS),
            "REQUESTS_CA_BUNDLE": str(tls.bundle),
            "SSL_CERT_FILE": str(tls.bundle),
        }
        environments = Environments(arm.clock)
        zygotes = Zygotes()
        programs = Programs(
            storage.assets, storage.downloads, environments, engine, zygotes, storage.collector, surroundings
        )
        revisions = Revisions(state / "deployments", storage.downloads, programs)
        return cls(Runtime(gateway, arm.clock, endpoints), programs, revisions, zygotes)
