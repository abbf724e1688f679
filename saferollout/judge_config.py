"""The ``judge`` section of a stage: what is compared, on which data, for how long, and how strictly."""

import os
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from saferollout.section import Section


class WhenUndecided(StrEnum):
    """What follows when the judge knows too little at the end of a stage."""

    ASK = "ask"
    EXTEND = "extend"
    FAIL = "fail"


class LatencyConfig(Section):
    """The comparison of latencies: a rank test, and cut points at the live p50, p90, p95 and p99 before the stage."""

    slack: float = Field(0.25, ge=0, description="Harmless: slower by this share of a live latency, …")
    slack_ms: float = Field(25, ge=0, description="… or by this many milliseconds, whichever is more.")
    slo_ms: float | None = Field(
        None, gt=0, description="Harmful, without that slack: to exceed this latency more often than live does."
    )
    warm_up: int = Field(20, ge=0, description="Leave out the candidate's first requests.")


class AnswerKind(StrEnum):
    """What the part of an answer that is compared is."""

    LABELS = "labels"
    NUMBERS = "numbers"
    VECTORS = "vectors"
    JSON = "json"


class AnswerConfig(Section):
    """How far two answers are apart, from 0 (the same) to 1 (as different as can be)."""

    kind: AnswerKind = Field(
        description="labels agree or not; numbers by their distance; vectors, e.g. probabilities; json leaf by leaf."
    )
    path: str = Field("", description="The part of the answer to compare, e.g. predictions.0.label; default: all.")
    scale: float | None = Field(
        None, gt=0, description="The difference of two numbers that is full disagreement, in the answer's unit."
    )
    ignore: tuple[str, ...] = Field(
        (), description="Keys that differ at each call or version, e.g. request_id: left out of the comparison."
    )

    @model_validator(mode="after")
    def _scale_of_numbers(self) -> Self:
        if self.kind is AnswerKind.NUMBERS and self.scale is None:
            msg = "numbers have no scale; add scale, the difference that counts as full disagreement"
            raise ValueError(msg)
        if self.kind in (AnswerKind.LABELS, AnswerKind.VECTORS) and self.scale is not None:
            msg = f"{self.kind} have no scale; remove scale, or write kind: numbers"
            raise ValueError(msg)
        return self


class PredictionDriftConfig(AnswerConfig):
    """The comparison of the candidate's answers with the live ones to the same requests."""

    tolerance: float = Field(gt=0, lt=1, description="Harmful above this mean disagreement (0 the same, 1 all else).")


class QualityConfig(AnswerConfig):
    """The comparison of both deployments' answers with the true ones, where recorded requests carry them."""

    margin: float = Field(
        0.01, ge=0, le=0.9, description="Harmful if the mean loss (0 right, 1 wrong) exceeds the live one by more."
    )


class OutputDriftConfig(Section):
    """The comparison of how often which answers come, where answers to one request need not be the same."""

    path: str = Field("", description="The part of the answer to count, e.g. predictions.0.label; default: all.")
    labels: tuple[str | bool | int, ...] = Field((), description="The answers to count; others count together.")
    borders: tuple[float, ...] = Field((), description="Or the borders between buckets of numbers.")

    @model_validator(mode="after")
    def _either(self) -> Self:
        if bool(self.labels) == bool(self.borders):
            msg = "needs either labels or borders; write one of them"
            raise ValueError(msg)
        return self


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
STRETCH_S = {SourceKind.PROBES: 0, SourceKind.AZURE_METRICS: 60, SourceKind.TRAFFIC_LOG: 10, SourceKind.PROMETHEUS: 60}
"""What a source counts together. A query of the log gives at most 30,000 rows, an endpoint takes 500 a second."""
_DELAYS_S = {SourceKind.AZURE_METRICS: 180.0, SourceKind.TRAFFIC_LOG: 300.0, SourceKind.PROMETHEUS: 30.0}


class SourceConfig(Section):
    """A source of data on both deployments."""

    kind: SourceKind = Field(
        description="probes: recorded requests, pinned to each; the others count what users got, and may take minutes."
    )
    ingestion_delay_s: float | None = Field(
        None, ge=0, description="Believe counts this old; default: azure_metrics 180, traffic_log 300, prometheus 30."
    )
    workspace_id: str | None = Field(None, min_length=1, description="traffic_log: the Log Analytics workspace.")
    url: str | None = Field(None, pattern="^https?://", description="prometheus: its address.")
    requests: str | None = Field(
        None, min_length=1, description="prometheus: requests of the last minute by deployment, as a query."
    )
    errors: str | None = Field(None, min_length=1, description="prometheus: those of them that failed.")
    label: str = Field("deployment", min_length=1, description="prometheus: the label that names the deployment.")
    token_env: str | None = Field(
        None, min_length=1, description="prometheus: the environment variable with a bearer token; default: none."
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


def _sources(value: tuple[SourceConfig, ...]) -> tuple[SourceConfig, ...]:
    kinds = [source.kind for source in value]
    counting = [kind for kind in kinds if kind is not SourceKind.PROBES]
    if not kinds:
        msg = "there is none; write at least one, e.g. kind: probes"
        raise ValueError(msg)
    if len(counting) > 1 or len(set(kinds)) < len(kinds):
        msg = f"{' and '.join(counting or kinds)} would count the same requests twice; keep one of them"
        raise ValueError(msg)
    return value


ComparisonName = Literal["error_rate_slo", "latency", "latency_shift", "prediction_drift", "output_drift", "quality"]


class ComparisonsConfig(Section):
    """What is compared beside the error rates; each key is the name of a comparison and switches it on."""

    error_rate_slo: float | None = Field(
        None, gt=0, lt=1, description="Harmful above this error rate, too, whatever the live one is; default: off."
    )
    latency: LatencyConfig | None = Field(LatencyConfig(), description="Also compare latencies; null: do not.")
    prediction_drift: PredictionDriftConfig | None = Field(None, description="Also compare the answers; default: off.")
    output_drift: OutputDriftConfig | None = Field(
        None, description="Also compare how often which answers come; default: off."
    )
    quality: QualityConfig | None = Field(None, description="Also compare with the true answers; default: off.")

    def comparisons(self) -> dict[str, Any]:
        """Return what is said of each comparison that is on, by its key and in JSON's types.

        How answers are read and set against each other is left out: that is done before the judge sees anything.
        """
        sections = self.model_dump(mode="json", include=set(ComparisonsConfig.model_fields), exclude_none=True)
        for section in sections.values():
            if isinstance(section, dict):
                for key in AnswerConfig.model_fields:
                    section.pop(key, None)
        return sections


class JudgeConfig(ComparisonsConfig):
    """The comparison of candidate and live during a stage."""

    alpha: float = Field(0.05, gt=0, lt=0.5, description="Chance that a healthy candidate is ever called harmful.")
    margin: float = Field(0.0, ge=0, description="Harmful above (1 + margin) times the live error rate.")
    no_worse_than: float = Field(0.5, gt=0, description="Healthy below (1 + this) times the live error rate, …")
    negligible_error_rate: float = Field(0.01, gt=0, lt=1, description="… or below this error rate.")
    required: tuple[ComparisonName, ...] = Field(
        (), description="Comparisons that must prove health, too; the others must only not prove harm."
    )
    sources: Annotated[tuple[SourceConfig, ...], AfterValidator(_sources)] = Field(
        (SourceConfig(kind=SourceKind.PROBES),), description="Where the data comes from: probes, and one that counts."
    )
    requests_per_s: float = Field(10, gt=0, description="Recorded requests a second to each deployment, at most.")
    capacity_share: float = Field(
        0.25, gt=0, le=1, description="Of a deployment's time that recorded requests take, at most; slower if need be."
    )
    min_duration_s: float = Field(60, ge=0, description="Watch at least this long, however good it looks.")
    max_duration_s: float = Field(600, gt=0, description="Decide by then.")
    when_undecided: WhenUndecided = Field(WhenUndecided.ASK, description="What follows when the data is too thin.")

    def recheck(self, duration_s: float, *, has_users: bool) -> Self:
        """This judge for a last look at a candidate, where only harm counts.

        Requests are always replayed, since what counts users' may tell of them minutes later; without users they are
        all that there is.
        """
        probes = SourceConfig(kind=SourceKind.PROBES)
        counting = tuple(source for source in self.sources if source != probes) if has_users else ()
        return self.model_copy(
            update={"sources": (probes, *counting), "min_duration_s": duration_s, "max_duration_s": duration_s,
                    "when_undecided": WhenUndecided.ASK}
        )  # fmt: skip

    @model_validator(mode="after")
    def _min_before_max(self) -> Self:
        if self.min_duration_s > self.max_duration_s:
            msg = "min_duration_s is above max_duration_s; make it smaller"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _sources_in_time(self) -> Self:
        for source in self.sources:
            if source.delay_s + STRETCH_S[source.kind] > self.max_duration_s:
                msg = f"{source.kind} tells nothing before max_duration_s is over; make that longer than its delay"
                raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _answers_come_from_probes(self) -> Self:
        if all(source.kind is not SourceKind.PROBES for source in self.sources):
            for name in ComparisonsConfig.model_fields:
                if isinstance(getattr(self, name), AnswerConfig | OutputDriftConfig):
                    msg = f"{name} compares answers, which only probes have; add kind: probes to sources"
                    raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _margin_before_health(self) -> Self:
        if self.margin >= self.no_worse_than:
            msg = "no_worse_than is not above margin; make it larger"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _required_are_there(self) -> Self:
        for name in self.required:
            section = name.replace("latency_shift", "latency")
            if getattr(self, section) is None:
                msg = f"required names {name}, but {section} is off; add {section}, or do not require it"
                raise ValueError(msg)
        return self
