"""What Azure does not have, put together."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from starlette.routing import Route
from starlette.types import ASGIApp

from localazure.arm.assembly import Arm
from localazure.compute.runtime import Runtime
from localazure.extras.admin import Admin
from localazure.extras.management import Management
from localazure.extras.page import Page
from localazure.extras.prometheus import Prometheus
from localazure.extras.recorder import Recorder
from localazure.monitor.traffic import Traffic


@dataclass(frozen=True)
class Extras:
    """The admin API, the page, Prometheus' page, and the recorder if there is one."""

    admin: Admin
    page: Page
    prometheus: Prometheus
    recorder: Recorder | None

    @classmethod
    def build(
        cls,
        arm: Arm,
        runtime: Runtime,
        traffic: Traffic,
        management: ASGIApp,
        front: Management,
        prometheus: Prometheus,
        admin_token: str,
        record: Path | None,
    ) -> Self:
        """Put it together.

        Args:
            arm: What all resources share.
            runtime: What runs.
            traffic: The scoring requests.
            management: The management plane without faults, for the other writer whom the admin API plays.
            front: What serves the management plane.
            prometheus: Prometheus' page.
            admin_token: Who may use the admin API.
            record: Where every management request and its response is written; None for nowhere.

        Returns:
            All of them.
        """
        return cls(
            Admin(admin_token, management, front, arm.faults, arm.identity, runtime, arm.scope, arm.clock),
            Page(arm.store, runtime, traffic, arm.faults, arm.scope, arm.clock),
            prometheus,
            Recorder(record, arm.clock) if record else None,
        )

    def close(self) -> None:
        """Close the recording."""
        if self.recorder:
            self.recorder.close()

    def routes(self) -> list[Route]:
        """Return all pages; they are guarded by themselves."""
        visible = self.admin.guard_page([*self.page.routes(), *self.prometheus.routes()])
        return [*self.admin.routes(), *visible]

    def wrap(self, app: ASGIApp) -> ASGIApp:
        """Return `app`, recorded and counted."""
        return self.prometheus.wrap(self.recorder.wrap(app) if self.recorder else app)
