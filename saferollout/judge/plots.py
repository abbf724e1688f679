"""The evidence as pictures: SVG to put into a page, each with the numbers behind it.

Colours are from Okabe and Ito's palette, which people with any common colour blindness can distinguish; lines differ in
their dashes besides.
"""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from saferollout.judge.betting.intervals import rate_interval
from saferollout.judge.history import History

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CANDIDATE, LIVE, ALARM = "#D55E00", "#0072B2", "#000000"
_OTHERS = ("#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F")
_DASHES = ("-", "--", "-.", ":", (0, (3, 1, 1, 1, 1, 1)))


@dataclass(frozen=True, slots=True)
class Plot:
    """A picture and its numbers."""

    name: str
    title: str
    svg: str
    """An `<svg>` element."""
    data: dict[str, Any]
    """The numbers behind it, in JSON's types; infinite and unknown ones are `None`."""


class Rates(NamedTuple):
    """A rate over time with its confidence sequence, one value a point of the history."""

    rate: list[float]
    low: list[float]
    high: list[float]


def plot_e_values(history: History, alpha: float) -> Plot:
    """Return the evidence for harm over time, by comparison and together, with the alarm line at 1/α."""
    points = history.points
    alarm = 1.0 / alpha
    names = list(points[-1]["log_e_values"])
    # Evidence a hundred times below one says no more than that there is none.
    series = {name: [_e_value(point["log_e_values"][name]) for point in points] for name in names}
    data: dict[str, Any] = {
        "time_s": history.times_s,
        "alarm": alarm,
        "together": [_e_value(point["log_e_value"]) for point in points],
        **series,
    }
    figure, axes = open_figure("evidence for harm (e-value)")
    minutes = history.minutes
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
    return close_figure("e_values", "Evidence for harm", figure, axes, data)


def open_figure(y_label: str) -> "tuple[Figure, Axes]":
    """Return an empty figure and its axes: minutes to the right, `y_label` up."""
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


def draw_rates(
    axes: "Axes",
    minutes: Sequence[float],
    counts: Sequence[tuple[float, float]],
    *,
    alpha: float,
    autocorrelation: float,
    colour: str,
    label: str,
    dash: str = "-",
) -> Rates:
    """Draw a rate over time in percent, with its confidence sequence as a band, and return the numbers.

    Args:
        axes: Where to draw.
        minutes: The time of each point.
        counts: Requests and events so far at each point.
        alpha: The chance that either limit is ever wrong, in (0, 1).
        autocorrelation: Lag-1 autocorrelation of events to allow for, in [0, 1).
        colour: Of line and band.
        label: In the legend.
        dash: Matplotlib's style of the line.
    """
    limits = [rate_interval(events, requests, alpha, autocorrelation) for requests, events in counts]
    rates = Rates(
        [events / requests if requests else 0.0 for requests, events in counts],
        [low for low, _ in limits],
        [high for _, high in limits],
    )
    axes.plot(minutes, [100 * rate for rate in rates.rate], color=colour, linestyle=dash, label=label)
    axes.fill_between(
        minutes,
        [100 * low for low in rates.low],
        [100 * high for high in rates.high],
        color=colour,
        alpha=0.2,
        linewidth=0,
    )
    return rates


def close_figure(name: str, title: str, figure: "Figure", axes: "Axes", data: dict[str, Any]) -> Plot:
    """Return a figure as a plot, with its title and, where something has a label, a legend."""
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


def _e_value(log_e: float) -> float:
    return math.exp(min(log_e, 690.0))
