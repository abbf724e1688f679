"""The judge's `sources`: where its data comes from, and what each of them needs."""

import os
from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from saferollout.config.section import Section


class SourceKind(StrEnum):
    """Where the judge's data comes from."""

    PROBES = "probes"
    AZURE_METRICS = "azure_metrics"
    TRAFFIC_LOG = "traffic_log"
    PROMETHEUS = "prometheus"


_NEEDS: dict[SourceKind, tuple[str, ...]] = {
    SourceKind.TRAFFIC_LOG: ("workspace_id",),
    SourceKind.PROMETHEUS: ("url", "requests", "errors"),
}


WINDOW_S = {SourceKind.PROBES: 0, SourceKind.AZURE_METRICS: 60, SourceKind.TRAFFIC_LOG: 10, SourceKind.PROMETHEUS: 60}
"""What a source counts together. A query of the log gives at most 30,000 rows, an endpoint takes 500 a second."""


_DELAYS_S = {SourceKind.AZURE_METRICS: 180.0, SourceKind.TRAFFIC_LOG: 300.0, SourceKind.PROMETHEUS: 30.0}


class SourceConfig(Section):
    """A source of data on both deployments."""

    kind: SourceKind = Field(
        description=(
            "probes sends recorded requests to both deployments; the others count users' requests, minutes later."
        ),
    )
    ingestion_delay_s: float | None = Field(
        None,
        ge=0,
        description=(
            "The age, in seconds, at which counts are complete; default: azure_metrics 180, traffic_log 300, "
            "prometheus 30."
        ),
    )
    workspace_id: str | None = Field(
        None, min_length=1, description="The id of the Log Analytics workspace; only for traffic_log, which needs it."
    )
    url: str | None = Field(
        None, pattern="^https?://", description="The address of Prometheus; only for prometheus, which needs it."
    )
    requests: str | None = Field(
        None,
        min_length=1,
        description="The query for the last minute's requests by deployment; only for prometheus, which needs it.",
    )
    errors: str | None = Field(
        None,
        min_length=1,
        description="The query for the failed ones among these requests; only for prometheus, which needs it.",
    )
    label: str = Field(
        "deployment", min_length=1, description="The label that names the deployment; only for prometheus."
    )
    token_env: str | None = Field(
        None,
        min_length=1,
        description="The environment variable that has a bearer token; only for prometheus; default: no token.",
    )

    @property
    def delay_s(self) -> float:
        """How old counts must be to be complete."""
        return _DELAYS_S.get(self.kind, 0.0) if self.ingestion_delay_s is None else self.ingestion_delay_s

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        needed = _NEEDS.get(self.kind, ())
        allowed = {
            *needed,
            *(("ingestion_delay_s",) if self.kind in _DELAYS_S else ()),
            *(("label", "token_env") if self.kind is SourceKind.PROMETHEUS else ()),
        }
        for key in needed:
            if getattr(self, key) is None:
                msg = f"{self.kind} needs {key}; add it"
                raise ValueError(msg)
        for key, field in type(self).model_fields.items():
            if key not in {"kind", *allowed} and getattr(self, key) != field.default:
                msg = f"{self.kind} has no {key}; remove it"
                raise ValueError(msg)
        if self.token_env and not os.environ.get(self.token_env):
            msg = f"environment variable {self.token_env} is not set; export it where rollouts run"
            raise ValueError(msg)
        return self
