"""The evidence as pictures."""

import json
from xml.etree import ElementTree

import pytest

from saferollout.judge import Batch, Judge, Settings
from saferollout.judge.plots import Plot

FULL = Settings(cut_points_ms=(100.0,), comparisons={"latency": {}, "prediction_drift": {"tolerance": 0.05}})


def judged(settings: Settings, batches: int = 30) -> Judge:
    """Return a judge with some data."""
    judge = Judge(settings)
    for _ in range(batches):
        judge.update(Batch(20, 1, 80, 2, [90.0, 150.0] * 10, [80.0, 140.0] * 40, [0.0] * 9 + [1.0], duration_s=20.0))
    return judge


def test_all_plots_are_svg_with_their_numbers() -> None:
    """Each plot is well-formed SVG whose text stays text, with numbers that JSON can hold."""
    made = judged(FULL).plots()

    assert [plot.name for plot in made] == ["e_values", "error_rate", "latency", "prediction_drift"]
    for plot in made:
        # The SVG is our own output, not somebody else's file.
        assert ElementTree.fromstring(plot.svg).tag.endswith("svg")  # noqa: S314  # our own, see above
        assert plot.title in plot.svg
        assert json.loads(json.dumps(plot.data, allow_nan=False)) == plot.data


def test_only_what_was_judged_is_drawn() -> None:
    """Without latency and drift there are two plots, without data none."""
    assert [plot.name for plot in judged(Settings()).plots()] == ["e_values", "error_rate"]
    assert Judge().plots() == []


def test_the_same_data_make_the_same_picture() -> None:
    """Pictures hold no date and no random ids."""
    first, second = judged(FULL).plots(), judged(FULL).plots()

    assert [plot.svg for plot in first] == [plot.svg for plot in second]


def test_the_numbers_are_those_of_the_judge() -> None:
    """The last points are the judge's e-value and error rates, with the limits around them."""
    judge = judged(FULL)
    by_name: dict[str, Plot] = {plot.name: plot for plot in judge.plots()}

    together = by_name["e_values"].data["together"]
    candidate = by_name["error_rate"].data["candidate"]
    drift = by_name["prediction_drift"].data
    latency = by_name["latency"].data["live"]
    assert together[-1] == pytest.approx(judge.e_value)
    assert by_name["e_values"].data["time_s"][-1] == 600.0
    assert by_name["e_values"].data["alarm"] == pytest.approx(20)
    assert candidate["rate"][-1] == 0.05
    assert candidate["low"][-1] < 0.05 < candidate["high"][-1]
    assert drift["mean"][-1] == pytest.approx(0.1)
    assert drift["tolerance"] == 0.05
    assert latency["low_ms"][0] <= latency["quantile_ms"][0] <= latency["high_ms"][0]


def test_gaps_in_the_data_do_not_break_the_pictures() -> None:
    """A deployment without requests, latencies or pairs yet is drawn as far as there is something."""
    judge = Judge(FULL)
    judge.update(Batch(5, 0, 0, 0))

    made = judge.plots()

    assert len(made) == 4
    assert made[2].data["candidate"]["quantile_ms"] == [None] * 4


def test_what_was_not_judged_cannot_be_drawn() -> None:
    """Asking for the plot of a comparison that is off is a mistake of the caller."""
    judge = judged(Settings(), 1)

    for comparison in ("latency", "prediction_drift"):
        with pytest.raises(KeyError):
            judge.comparisons[comparison].plot(judge.history)
