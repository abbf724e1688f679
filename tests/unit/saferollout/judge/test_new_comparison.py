"""A comparison that the judge does not know yet: what it takes to add one."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any, ClassVar, Self

import numpy as np
import pytest

from saferollout.config.judge import JudgeConfig
from saferollout.domain.evidence import Check, Evidence, GateVerdict
from saferollout.gates.judging import run_judge
from saferollout.gates.sources.source import Seen
from saferollout.judge import Batch, BoundedMean, Comparison, Judge, Settings, Verdict
from saferollout.judge.history import History
from saferollout.judge.judge import COMPARISONS
from saferollout.judge.plots import CANDIDATE, Plot, close_figure, draw_rates, open_figure
from saferollout.report.pictures import with_plots


class Timeouts(BoundedMean, Comparison):
    """Do too many of the candidate's requests take longer than the users wait? All of what a new file would hold."""

    name: ClassVar[str] = "timeouts"
    section: ClassVar[str] = "timeouts"

    def __init__(self, alpha: float, limit: float, patience_ms: float, **options: Any) -> None:
        super().__init__(alpha, limit, **options)
        self.patience_ms = patience_ms

    @classmethod
    def from_config(cls, settings: Settings) -> Self | None:
        """Make it if the config has a section for it."""
        section = settings.comparisons.get(cls.section)
        return None if section is None else cls(settings.alpha, autocorrelation=settings.autocorrelation, **section)

    def take(self, batch: Batch) -> None:
        """Count the requests that took longer than the patience."""
        self.update(np.asarray(batch.candidate_latencies_ms) > self.patience_ms)

    def point(self) -> dict[str, Any]:
        """What the plot needs of this moment."""
        return {"timeouts": [self.count, self.total]}

    def rows(self) -> list[Check]:
        """The table's row: the share of slow requests beside the limit."""
        share = f"{self.mean:.0%} above {self.patience_ms:g} ms"
        return [Check(check="timeouts", passed=None, candidate=share, live="", limit=f"{self.limit:.0%}")]

    def plot(self, history: History, /) -> Plot:
        """The share of slow requests over time."""
        figure, axes = open_figure("timeouts, %")
        rates = draw_rates(
            axes,
            history.minutes,
            [point["timeouts"] for point in history.points_of(self.name)],
            alpha=self.alpha,
            autocorrelation=self.autocorrelation,
            colour=CANDIDATE,
            label="candidate",
        )
        return close_figure(self.name, "Timeouts", figure, axes, {"time_s": history.times_s, **rates._asdict()})

    def settings(self) -> dict[str, Any]:
        """What makes the same comparison again."""
        return {**super().settings(), "patience_ms": self.patience_ms}


class ImpatientTimeouts(Timeouts):
    """The same, always on: the config has no key for it."""

    section: ClassVar[str] = ""

    @classmethod
    def from_config(cls, settings: Settings) -> Self:
        """Make it whatever the config says."""
        return cls(settings.alpha, 0.05, 100)


SETTINGS = Settings(comparisons={"timeouts": {"limit": 0.1, "patience_ms": 100}}, required=("timeouts",))
SLOW = Batch(20, 0, 20, 0, candidate_latencies_ms=[50.0, 150.0] * 10, live_latencies_ms=[50.0] * 20, duration_s=60)


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Add the entry in the list."""
    monkeypatch.setattr("saferollout.judge.judge.COMPARISONS", (*COMPARISONS, Timeouts))


def judged(batches: int = 10) -> Judge:
    """A judge that has seen the slow batch several times."""
    judge = Judge(SETTINGS)
    for _ in range(batches):
        judge.update(SLOW)
    return judge


@pytest.mark.usefixtures("listed")
def test_it_is_judged() -> None:
    """Harm that only the new comparison sees makes the verdict harmful, with its words; off, it has no share."""
    judge = judged()

    assert judge.verdict is Verdict.HARMFUL
    assert judge.findings[0].comparison == "timeouts"
    assert judge.findings[0].alarm == pytest.approx(40)
    assert judge.words.startswith("after 200 values the mean is 0.5")
    assert list(Judge(Settings()).comparisons) == ["error_rate"]


@pytest.mark.usefixtures("listed")
def test_it_can_be_required() -> None:
    """Health waits for its proof, and so does the forecast."""
    judge = Judge(SETTINGS)

    assert judge.update(Batch(2000, 0, 2000, 0)) is Verdict.UNDECIDED
    assert judge.forecast is None
    assert judge.update(Batch(candidate_latencies_ms=[50.0] * 500)) is Verdict.HEALTHY


@pytest.mark.usefixtures("listed")
def test_it_has_lines_in_the_table() -> None:
    """What it has to say comes after the others' counts."""
    rows = [(row.check, row.candidate, row.limit) for row in judged().rows()]

    assert [check for check, *_ in rows] == ["requests", "errors", "timeouts"]
    assert rows[-1] == ("timeouts", "50% above 100 ms", "10%")


@pytest.mark.usefixtures("listed")
def test_it_goes_on_after_a_restart() -> None:
    """Its settings and evidence are part of the judge's state and survive JSON."""
    judge = judged(3)

    copy = Judge.from_dict(json.loads(json.dumps(judge.to_dict())))
    judge.update(SLOW)
    copy.update(SLOW)

    assert copy.settings == SETTINGS
    assert copy.comparisons["timeouts"].to_dict() == judge.comparisons["timeouts"].to_dict()
    assert copy.findings == judge.findings


@pytest.mark.usefixtures("listed")
def test_it_has_plots() -> None:
    """It is a line of the e-values, and its own plot comes last, from the state that the evidence keeps."""
    evidence = Evidence(gate="judge at 10%", verdict=GateVerdict.HARMFUL, summary="", state=judged().to_dict())

    pictures = with_plots(evidence).pictures

    assert [picture.name for picture in pictures] == ["e_values", "error_rate", "timeouts"]
    assert len(pictures[0].numbers["timeouts"]) == 10
    assert pictures[-1].numbers["rate"] == [0.5] * 10
    assert pictures[-1].svg.startswith("<svg")


async def test_a_stage_is_watched_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends a stage, and the gate's table holds its own line and that of its e-value."""
    monkeypatch.setattr("saferollout.judge.judge.COMPARISONS", (*COMPARISONS, ImpatientTimeouts))

    class Source:
        name = "script"
        interval_s = 0.0

        async def batches(self) -> AsyncGenerator[Seen, None]:
            while True:
                await asyncio.sleep(0)
                yield Seen(SLOW)

    config = JudgeConfig(min_duration_s=0, max_duration_s=30)
    evidence = await run_judge([Source()], config, "judge at 10%", report=lambda *_: None)

    assert evidence.verdict == "harmful"
    checks = {check.check: check.passed for check in evidence.checks}
    assert (checks["timeouts"], checks["timeouts (e-value)"]) == (None, False)


def test_what_is_not_in_the_list_is_refused() -> None:
    """A section that belongs to no comparison is a mistake, not a silence."""
    with pytest.raises(ValueError, match=r"there is no comparison timeouts \(there are error_rate_slo, latency, "):
        Judge(SETTINGS)
