"""An image that brings its own server, as a container whose ports are published on loopback."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from localazure.compute.engine import Engine
from localazure.compute.environment_specs import Image, Route
from localazure.compute.instances import STOP_GRACE_S, Address, Started
from localazure.compute.probes import POLL_S
from localazure.core.clock import Clock


@dataclass(frozen=True)
class Container:
    """What is run: the image as the engine names it, what it finds in it, and where it listens."""

    engine: Engine = field(compare=False)
    reference: str
    command: tuple[str, ...]
    image: Image
    environment: Mapping[str, str]
    mounts: Mapping[str, Path]

    hint = ""

    @property
    def scored_at(self) -> str:
        """The path of its scoring route."""
        return self.image.scoring.path

    async def start(self, log: Path, clock: Clock) -> Started:
        """Start a container of it, its output to `log`.

        Returns:
            The container.
        """
        image = self.image
        inner = {route.port for route in (image.liveness, image.readiness, image.scoring)}
        with log.open("ab") as output:
            name, process = await self.engine.run(
                self.reference,
                self.command,
                environment=self.environment,
                mounts=self.mounts,
                ports=sorted(inner),
                output=output.fileno(),
                grace_s=STOP_GRACE_S,
            )

        async def address() -> Address:
            while not (ports := await self.engine.ports(name)).keys() >= inner:
                await clock.sleep(POLL_S)
            return Address(ports[image.scoring.port], _url(image.liveness, ports), _url(image.readiness, ports))

        return Started(process, address, measurable=False)


def _url(route: Route, ports: dict[int, int]) -> str:
    return f"http://127.0.0.1:{ports[route.port]}{route.path}"
