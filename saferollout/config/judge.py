"""The `judge` section of a stage: what is compared, on which data, for how long, and how strictly."""

from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from saferollout.config.section import Section
from saferollout.config.sources import WINDOW_S, SourceConfig, SourceKind


class WhenUndecided(StrEnum):
    """What follows when the judge knows too little at the end of a stage."""

    ASK = "ask"
    EXTEND = "extend"
    FAIL = "fail"


class LatencyConfig(Section):
    """The comparison of latencies: a rank test, and cut points at the live p50, p90, p95 and p99 before the stage."""

    slack: float = Field(
        0.25,
        ge=0,
        description="A request may be slower by this share of a live latency, or by slack_ms if that is more.",
    )
    slack_ms: float = Field(
        25,
        ge=0,
        description="A request may be slower by this many milliseconds, or by the share slack if that is more.",
    )
    slo_ms: float | None = Field(
        None,
        gt=0,
        description=(
            "A latency that the candidate must not exceed more often than live does; slack does not apply to it."
        ),
    )
    warm_up: int = Field(
        20, ge=0, description="How many of the candidate's first requests the comparison of latencies leaves out."
    )


class AnswerKind(StrEnum):
    """What kind of value the compared part of an answer is."""

    LABELS = "labels"
    NUMBERS = "numbers"
    VECTORS = "vectors"
    JSON = "json"


class AnswerConfig(Section):
    """How far two answers are apart, from 0 (the same) to 1 (as different as can be)."""

    kind: AnswerKind = Field(
        description=(
            "How answers are compared: labels (same or not), numbers (by distance), vectors (e.g. probabilities) or "
            "json."
        ),
    )
    path: str = Field(
        "", description="The part of the answer to compare, e.g. predictions.0.label; default: the whole answer."
    )
    scale: float | None = Field(
        None, gt=0, description="The difference of two numbers that counts as full disagreement, in the answer's unit."
    )
    ignore: tuple[str, ...] = Field(
        (),
        description="Keys that the comparison leaves out since they differ at each call or version, e.g. request_id.",
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

    tolerance: float = Field(
        gt=0,
        lt=1,
        description="The candidate is harmful above this mean disagreement (0: all the same, 1: nothing the same).",
    )


class QualityConfig(AnswerConfig):
    """The comparison of both deployments' answers with the true ones, where recorded requests carry them."""

    margin: float = Field(
        0.01,
        ge=0,
        le=0.9,
        description=(
            "The candidate is harmful if its mean loss (0 right, 1 wrong) exceeds the live one by more than this."
        ),
    )


class OutputDriftConfig(Section):
    """The comparison of how often each answer comes, where two answers to one request need not be the same."""

    path: str = Field(
        "", description="The part of the answer to count, e.g. predictions.0.label; default: the whole answer."
    )
    labels: tuple[str | bool | int, ...] = Field(
        (),
        description="The answers to count, each by itself; all others count together. Write either labels or borders.",
    )
    borders: tuple[float, ...] = Field(
        (), description="The borders between the buckets in which numbers are counted. Write either borders or labels."
    )

    @model_validator(mode="after")
    def _either(self) -> Self:
        if bool(self.labels) == bool(self.borders):
            msg = "needs either labels or borders; write one of them"
            raise ValueError(msg)
        return self


def _sources(value: tuple[SourceConfig, ...]) -> tuple[SourceConfig, ...]:
    kinds = [source.kind for source in value]
    counting = [kind for kind in kinds if kind is not SourceKind.PROBES]
    if not kinds:
        msg = "is empty; write at least one source, e.g. kind: probes"
        raise ValueError(msg)
    if len(counting) > 1 or len(set(kinds)) < len(kinds):
        msg = f"{' and '.join(counting or kinds)} would count the same requests twice; keep one of them"
        raise ValueError(msg)
    return value


MAX_EXTENSIONS = 10
"""How often a judge's time may be given again where undecided means that it goes on."""

ComparisonName = Literal["error_rate_slo", "latency", "latency_shift", "prediction_drift", "output_drift", "quality"]


class ComparisonsConfig(Section):
    """What is compared beside the error rates; each key is the name of a comparison and switches it on."""

    error_rate_slo: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="The candidate is also harmful above this error rate, whatever the live one is; default: off.",
    )
    latency: LatencyConfig | None = Field(
        LatencyConfig(), description="The comparison of latencies; null turns it off."
    )
    prediction_drift: PredictionDriftConfig | None = Field(
        None, description="The comparison of answers to the same requests; default: off."
    )
    output_drift: OutputDriftConfig | None = Field(
        None, description="The comparison of how often each answer comes; default: off."
    )
    quality: QualityConfig | None = Field(None, description="The comparison with the true answers; default: off.")

    def comparisons(self) -> dict[str, Any]:
        """Return the settings of each comparison that is on, by its key and in JSON's types.

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

    alpha: float = Field(
        0.05, gt=0, lt=0.5, description="The largest probability with which a healthy candidate is ever called harmful."
    )
    margin: float = Field(
        0.0, ge=0, description="The candidate is harmful above (1 + margin) times the live error rate."
    )
    no_worse_than: float = Field(
        0.5, gt=0, description="The candidate is healthy below (1 + no_worse_than) times the live error rate."
    )
    negligible_error_rate: float = Field(
        0.01, gt=0, lt=1, description="The candidate is also healthy below this error rate, whatever the live one is."
    )
    required: tuple[ComparisonName, ...] = Field(
        (),
        description=(
            "The comparisons that must prove health, as the error rate must; it is enough that the others do not prove "
            "harm."
        ),
    )
    sources: Annotated[tuple[SourceConfig, ...], AfterValidator(_sources)] = Field(
        (SourceConfig(kind=SourceKind.PROBES),),
        description="Where the data comes from: probes, one source that counts users' requests, or both.",
    )
    requests_per_s: float = Field(
        10, gt=0, description="How many recorded requests a second each deployment gets at most."
    )
    capacity_share: float = Field(
        0.25,
        gt=0,
        le=1,
        description=(
            "The share of a deployment's time that recorded requests may take; they are sent more slowly if need be."
        ),
    )
    min_duration_s: float = Field(
        60, ge=0, description="The judge watches at least this long, in seconds, however good the candidate looks."
    )
    max_duration_s: float = Field(
        600, gt=0, description="The judge gives its verdict after this many seconds at the latest."
    )
    when_undecided: WhenUndecided = Field(
        WhenUndecided.ASK,
        description=(
            "What follows where the judge cannot decide in time: ask a person, extend the watch (up to ten times), or "
            "fail."
        ),
    )

    @property
    def limit_s(self) -> float:
        """How long the judge may watch, in seconds, its extensions included."""
        return self.max_duration_s * (MAX_EXTENSIONS if self.when_undecided is WhenUndecided.EXTEND else 1)

    def recheck(self, duration_s: float, *, has_users: bool) -> Self:
        """This judge for a last look at a candidate, where only harm counts.

        Requests are always replayed, since a source that counts users' may report them minutes later; without users
        they are all that there is.
        """
        probes = SourceConfig(kind=SourceKind.PROBES)
        counting = tuple(source for source in self.sources if source != probes) if has_users else ()
        return self.model_copy(
            update={
                "sources": (probes, *counting),
                "min_duration_s": duration_s,
                "max_duration_s": duration_s,
                "when_undecided": WhenUndecided.ASK,
            }
        )

    @model_validator(mode="after")
    def _min_before_max(self) -> Self:
        if self.min_duration_s > self.max_duration_s:
            msg = "min_duration_s is above max_duration_s; make it smaller"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _sources_in_time(self) -> Self:
        for source in self.sources:
            if source.delay_s + WINDOW_S[source.kind] > self.max_duration_s:
                msg = f"{source.kind} reports nothing before max_duration_s is over; make that longer than its delay"
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
