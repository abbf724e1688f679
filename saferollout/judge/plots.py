"""The evidence as pictures: SVG to put into a page, each with the numbers behind it.

Colours are from Okabe and Ito's palette, which people with any common colour blindness can tell apart; lines differ in
their dashes besides.
"""

import io
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from saferollout.judge.betting.intervals import rate_interval
from saferollout.judge.comparisons.latency import Latency
from saferollout.judge.comparisons.prediction_drift import PredictionDrift
from saferollout.judge.judge import Judge

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CANDIDATE, LIVE, ALARM = "#D55E00", "#0072B2", "#000000"
_OTHERS = ("#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F")
_DASHES = ("-", "--", "-.", ":", (0, (3, 1, 1, 1, 1, 1)))
_LATENCY_QUANTILES = (0.5, 0.9, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class Plot:
    """A picture and its numbers."""

    name: str
    title: str
    svg: str
    """An ``<svg>`` element."""
    data: dict[str, Any]
    """The numbers behind it, in JSON's types; infinite and unknown ones are ``None``."""


def plots(judge: Judge) -> list[Plot]:
    """Return all plots that the judge has data for, in the order in which to read them."""
    if not judge.history.points:
        return []
    made = [e_values(judge), error_rates(judge)]
    if isinstance(judge.tests.get("latency"), Latency):
        made.append(latencies(judge))
    if isinstance(judge.tests.get("prediction_drift"), PredictionDrift):
        made.append(disagreements(judge))
    return made


def e_values(judge: Judge) -> Plot:
    """Return the evidence for harm over time, by test and together, with the alarm line at 1/α."""
    points = judge.history.points
    alarm = 1.0 / judge.settings.alpha
    names = list(judge.tests)
    # Evidence a hundred times below one says no more than that there is none.
    series = {name: [_e(point["log_e_values"][name]) for point in points] for name in names}
    data: dict[str, Any] = {
        "time_s": _times(judge),
        "alarm": alarm,
        "together": [_e(p["log_e_value"]) for p in points],
        **series,
    }
    figure, axes = _figure("evidence for harm (e-value)")
    minutes = _minutes(judge)
    for index, name in enumerate(names):
        axes.plot(
            minutes,
            [max(e, 0.01) for e in series[name]],
            color=_OTHERS[index % 5],
            linestyle=_DASHES[(index + index // 5) % 5],
            label=name.replace("_", " "),
        )
    if len(names) > 1:
        axes.plot(minutes, [max(e, 0.01) for e in data["together"]], color=CANDIDATE, linewidth=2, label="together")
    axes.axhline(alarm, color=ALARM, linestyle=":", label=f"alarm at 1/α = {alarm:g}")
    axes.set_yscale("log")
    return _plot("e_values", "Evidence for harm", figure, axes, data)


def error_rates(judge: Judge) -> Plot:
    """Return both error rates over time with their confidence sequences."""
    points, alpha, autocorrelation = judge.history.points, judge.settings.alpha, judge.settings.autocorrelation
    data: dict[str, Any] = {"time_s": _times(judge)}
    figure, axes = _figure("error rate, %")
    minutes = _minutes(judge)
    for arm, colour, dash in (("live", LIVE, "--"), ("candidate", CANDIDATE, "-")):
        limits = [rate_interval(point[arm][1], point[arm][0], alpha, autocorrelation) for point in points]
        rates = [point[arm][1] / point[arm][0] if point[arm][0] else 0.0 for point in points]
        data[arm] = {"rate": rates, "low": [low for low, _ in limits], "high": [high for _, high in limits]}
        axes.plot(minutes, [100 * rate for rate in rates], color=colour, linestyle=dash, label=arm)
        axes.fill_between(
            minutes,
            [100 * low for low, _ in limits],
            [100 * high for _, high in limits],
            color=colour,
            alpha=0.2,
            linewidth=0,
        )
    last = max(data["live"]["high"][-1], data["candidate"]["high"][-1])
    axes.set_ylim(0, min(100.0, 250 * last))
    return _plot("error_rates", "Error rates", figure, axes, data)


def latencies(judge: Judge) -> Plot:
    """Return quantiles of latency, live against candidate, with bands."""
    test = judge.tests["latency"]
    if not isinstance(test, Latency):
        msg = "the judge has no latency test"
        raise TypeError(msg)
    data: dict[str, Any] = {"quantiles": list(_LATENCY_QUANTILES)}
    figure, axes = _figure("latency, ms")
    for arm, histogram, colour, marker, shift in (
        ("live", test.live, LIVE, "o", -0.08),
        ("candidate", test.candidate, CANDIDATE, "s", 0.08),
    ):
        middles = [histogram.quantile(p) for p in _LATENCY_QUANTILES]
        bands = [histogram.band(p, judge.settings.alpha) for p in _LATENCY_QUANTILES]
        data[arm] = {
            "quantile_ms": [_finite(middle) for middle in middles],
            "low_ms": [_finite(low) for low, _ in bands],
            "high_ms": [_finite(high) for _, high in bands],
        }
        # A band without an upper end is drawn up to twice the quantile.
        errors = [
            [middle - low for middle, (low, _) in zip(middles, bands, strict=True)],
            [min(high, 2 * middle) - middle for middle, (_, high) in zip(middles, bands, strict=True)],
        ]
        where = [index + shift for index in range(len(middles))]
        if histogram.requests:
            axes.errorbar(where, middles, yerr=errors, color=colour, fmt=marker, capsize=4, label=arm)
    axes.set_xticks(range(len(_LATENCY_QUANTILES)), [f"p{100 * p:g}" for p in _LATENCY_QUANTILES])
    axes.set_xlabel("")
    axes.set_ylim(bottom=0)
    return _plot("latencies", "Latency", figure, axes, data)


def disagreements(judge: Judge) -> Plot:
    """Return the mean disagreement of pairs over time with its confidence sequence and the tolerance."""
    test = judge.tests["prediction_drift"]
    if not isinstance(test, PredictionDrift):
        msg = "the judge has no test of prediction drift"
        raise TypeError(msg)
    points = judge.history.points
    limits = [rate_interval(p["pairs"][1], p["pairs"][0], test.alpha, test.autocorrelation) for p in points]
    means = [p["pairs"][1] / p["pairs"][0] if p["pairs"][0] else 0.0 for p in points]
    data = {
        "time_s": _times(judge),
        "mean": means,
        "low": [low for low, _ in limits],
        "high": [high for _, high in limits],
        "tolerance": test.tolerance,
    }
    figure, axes = _figure("disagreement of pairs, %")
    minutes = _minutes(judge)
    axes.plot(minutes, [100 * mean for mean in means], color=CANDIDATE, label="candidate against live")
    axes.fill_between(
        minutes,
        [100 * low for low, _ in limits],
        [100 * high for _, high in limits],
        color=CANDIDATE,
        alpha=0.2,
        linewidth=0,
    )
    axes.axhline(100 * test.tolerance, color=ALARM, linestyle=":", label=f"tolerance {test.tolerance:.1%}")
    axes.set_ylim(0, min(100.0, 100 * max(2.5 * limits[-1][1], 2 * test.tolerance)))
    return _plot("disagreements", "Prediction drift", figure, axes, data)


def _times(judge: Judge) -> list[float]:
    return [float(point["time_s"]) for point in judge.history.points]


def _minutes(judge: Judge) -> list[float]:
    return [time_s / 60 for time_s in _times(judge)]


def _e(log_e: float) -> float:
    return math.exp(min(log_e, 690.0))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _figure(y_label: str) -> "tuple[Figure, Axes]":
    # Imported here: it takes half a second, which only those pay who want a picture.
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.2))
    FigureCanvasSVG(figure)
    axes = figure.add_axes((0.09, 0.15, 0.62, 0.75))  # with room for the legend: searching for it takes a second
    axes.set_xlabel("minutes")
    axes.set_ylabel(y_label)
    axes.grid(visible=True, alpha=0.3)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure, axes


def _plot(name: str, title: str, figure: "Figure", axes: "Axes", data: dict[str, Any]) -> Plot:
    from matplotlib import rc_context

    axes.set_title(title, loc="left")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1.0, 1.0))
    buffer = io.StringIO()
    # Text stays text (small files, searchable), ids are stable, and no date: the same data make the same picture.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    svg = buffer.getvalue()
    return Plot(name, title, svg[svg.index("<svg") :], data)
