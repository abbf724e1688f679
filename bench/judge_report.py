"""The judge's bench as a page: tables in markdown and one picture."""

from pathlib import Path
from typing import Any

JUDGES = ("judge", "judge with probes")
LIMIT = 0.05
#: The digest lies between these lines of docs/judge.md.
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"


def write(document: dict[str, Any], folder: Path) -> None:
    """Write `judge-results.md` and `judge-results.svg`."""
    rows = document["rows"]
    lines = [
        "# The judge's bench: results",
        "",
        (
            f"Made by `python bench/judge.py` (seed {document['seed']}, {document['runs']:,} runs a scenario). "
            "[judge.md](judge.md) explains it."
        ),
        "",
        "![Users harmed until caught](judge-results.svg)",
        "",
        *false_alarms(rows),
        *harmful(rows),
        *health(rows),
        *costs(document["cost"]),
    ]
    (folder / "judge-results.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    picture(rows, folder / "judge-results.svg")
    page = folder / "judge.md"
    if page.exists():
        before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
        _, _, after = rest.partition(END)
        page.write_text(before + BEGIN + "\n" + "\n".join(digest(rows)) + END + after, encoding="utf-8")


def digest(rows: list[dict[str, Any]]) -> list[str]:
    """Return the small table of docs/judge.md: independent traffic at 10 requests/s."""
    shown = [row for row in rows if row["requests_per_s"] == 10 and row["traffic"] == "independent"]
    rules = _rules(shown)
    body: dict[str, list[str]] = {}
    for row in shown:
        share = f"{row['alarms']:.1%}"
        if not row["healthy"]:
            median = "" if row["median_s"] is None else f" after {_duration(row['median_s'])}"
            share = f"{row['alarms']:.0%}{median}, {row['users_harmed']:,.3g} harmed"
        name = f"{row['metric']} {row['scenario']}" + (" (healthy)" if row["healthy"] else "")
        body.setdefault(name, ["–"] * len(rules))[rules.index(row["rule"])] = share
    judged = [row for row in rows if row["healthy"] and row["rule"] in JUDGES]
    worst = max(judged, key=lambda row: row["alarms_high"])
    return [
        (
            f"Worst false-alarm rate of the judge over all {len(judged)} healthy scenarios (four traffic rates; "
            f"independent, bursty and diurnal): {worst['alarms']:.1%}, at most {worst['alarms_high']:.1%} "
            f"({worst['metric']} {worst['scenario']}, {worst['requests_per_s']:g} requests/s, {worst['traffic']})."
        ),
        "",
        *table(["10 requests/s, independent", *rules], [[name, *cells] for name, cells in body.items()]),
    ]


def table(head: list[str], body: list[list[str]]) -> list[str]:
    """Return a markdown table."""
    lines = [head, ["---"] * len(head), *body]
    return ["| " + " | ".join(line) + " |" for line in lines] + [""]


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["metric"], row["scenario"], row["requests_per_s"], row["traffic"]


def _rules(rows: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(row["rule"] for row in rows))


def false_alarms(rows: list[dict[str, Any]]) -> list[str]:
    """Return the false alarms of every rule in every healthy scenario, with the upper limit for the judge."""
    healthy = [row for row in rows if row["healthy"]]
    rules = _rules(healthy)
    scenarios: dict[tuple[Any, ...], dict[str, dict[str, Any]]] = {}
    for row in healthy:
        scenarios.setdefault(_key(row), {})[row["rule"]] = row
    body = []
    for (metric, scenario, rps, kind), by_rule in scenarios.items():
        cells = [
            (f"{by_rule[rule]['alarms']:.1%}" + (f" (≤ {by_rule[rule]['alarms_high']:.1%})" if rule in JUDGES else ""))
            if rule in by_rule
            else "–"
            for rule in rules
        ]
        body.append([metric, scenario, f"{rps:g}", kind, *cells])
    worst = max((row for row in healthy if row["rule"] in JUDGES), key=lambda row: row["alarms_high"])
    return [
        "## False alarms",
        "",
        (
            "How often a healthy candidate is stopped within the hour; for the judge with the upper limit of the 95 % "
            f"interval. Its worst: {worst['alarms']:.1%} (≤ {worst['alarms_high']:.1%}), {worst['metric']} "
            f"{worst['scenario']} at {worst['requests_per_s']:g} requests/s, {worst['traffic']}; promised: {LIMIT:.0%}."
        ),
        "",
        *table(["metric", "healthy", "requests/s", "traffic", *rules], body),
    ]


def honest(rows: list[dict[str, Any]], row: dict[str, Any]) -> bool:
    """Return whether the rule's own false-alarm rate on such traffic is at most 5 %."""
    same = {"errors": "0.5%", "latency": "same", "drift": "2%"}[row["metric"]]
    twins = [
        other
        for other in rows
        if other["healthy"]
        and other["scenario"] == same
        and all(other[key] == row[key] for key in ("metric", "rule", "requests_per_s", "traffic"))
    ]
    return all(twin["alarms"] <= LIMIT for twin in twins)


def harmful(rows: list[dict[str, Any]]) -> list[str]:
    """Return what each rule catches, when, and how many users are harmed until then."""
    body, short = [], []
    scenarios: dict[tuple[Any, ...], dict[str, dict[str, Any]]] = {}
    for row in rows:
        if not row["healthy"]:
            scenarios.setdefault(_key(row), {})[row["rule"]] = row
    rules = _rules([row for row in rows if not row["healthy"]])
    for (metric, scenario, rps, kind), by_rule in scenarios.items():
        cells = []
        for rule in rules:
            if rule not in by_rule:
                cells.append("–")
                continue
            row = by_rule[rule]
            median = "–" if row["median_s"] is None else _duration(row["median_s"])
            text = f"{row['alarms']:.0%}, {median}, {row['users_harmed']:,.3g}"
            cells.append(text if honest(rows, row) else f"*{text}*")
        body.append([metric, scenario, f"{rps:g}", kind, *cells])
        others = [row for rule, row in by_rule.items() if rule not in JUDGES and honest(rows, row)]
        if rps < 10 or not others:
            continue
        most = max(others, key=lambda row: row["alarms"])
        best = min(others, key=lambda row: row["users_harmed"])
        for rule in JUDGES:
            if rule in by_rule:
                own = by_rule[rule]
                reasons = []
                # Three standard errors of a share of 2,000 runs near one are about 0.3 %.
                if own["alarms"] < most["alarms"] - 0.003:
                    reasons.append(f"catches {own['alarms']:.0%}, {most['rule']} {most['alarms']:.0%}")
                if own["users_harmed"] > best["users_harmed"] / 3 * 1.01:
                    share = own["users_harmed"] / best["users_harmed"]
                    reasons.append(f"harms {share:.0%} of what {best['rule']} does ({best['users_harmed']:,.3g})")
                if reasons:
                    short.append([metric, scenario, f"{rps:g}", kind, rule, "; ".join(reasons)])
    return [
        "## Harm",
        "",
        (
            "Share of runs in which it is caught, median time until then, mean number of users harmed until then "
            "(or within the hour). *In italics*: rules that stop more than 5 % of healthy candidates on the same "
            "traffic."
        ),
        "",
        *table(["metric", "harm", "requests/s", "traffic", *rules], body),
        "### Where the judge falls short",
        "",
        (
            "At 10 and more requests/s the judge should catch as often as every rule that stops at most 5 % of healthy "
            "candidates, and harm at most a third of the users that the best of them does. It does not here:"
        ),
        "",
        *table(["metric", "harm", "requests/s", "traffic", "judge", "how"], short),
    ]


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def health(rows: list[dict[str, Any]]) -> list[str]:
    """Return how often and when the judge says healthy."""
    said = [row for row in rows if row["said_healthy"] is not None]
    body = [
        [
            row["scenario"],
            f"{row['requests_per_s']:g}",
            row["rule"],
            f"{row['said_healthy']:.1%}",
            "–" if row["median_healthy_s"] is None else _duration(row["median_healthy_s"]),
        ]
        for row in said
        if row["healthy"] and row["traffic"] == "independent"
    ]
    # 0.5% → 1% lies on the border of the negligible rate and is neither.
    bad = [row for row in said if not row["healthy"] and not row["scenario"].endswith("1%")]
    worst = max(bad, key=lambda row: row["said_healthy"])
    return [
        "## Health",
        "",
        (
            "How often the judge says *healthy* on the error rate within the hour, and the median time (independent "
            f"traffic). Of the candidates with 2 % or 5 % it calls at most {worst['said_healthy']:.1%} healthy before "
            f"it calls them harmful ({worst['scenario']}, {worst['requests_per_s']:g} requests/s, "
            f"{worst['traffic']}, {worst['rule']})."
        ),
        "",
        *table(["error rate", "requests/s", "judge", "says healthy", "after"], body),
    ]


def costs(cost: dict[str, float]) -> list[str]:
    """Return what updates cost."""
    body = [[name, f"{value:.2f} s" if "(s)" in name else f"{value:.0f} µs"] for name, value in cost.items()]
    return [
        "## Cost",
        "",
        "One update with a batch of 100 requests, on one core.",
        "",
        *table(["comparison", "cost"], body),
    ]


def picture(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw users harmed until caught, by rule, for independent traffic at 10 requests/s."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    shown = [
        row for row in rows if not row["healthy"] and row["requests_per_s"] == 10 and row["traffic"] == "independent"
    ]
    scenarios = list(dict.fromkeys((row["metric"], row["scenario"]) for row in shown))
    colours = {
        "judge": "#D55E00",
        "judge with probes": "#E69F00",
        "Flagger": "#0072B2",
        "Argo": "#56B4E9",
        "SageMaker alarm": "#009E73",
        "Kayenta": "#CC79A7",
        "peeked z-test": "#999999",
    }
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "judge", "font.size": 9}):
        figure = Figure(figsize=(9, 6), layout="constrained")
        axes = figure.add_subplot()
        for index, scenario in enumerate(scenarios):
            here = [row for row in shown if (row["metric"], row["scenario"]) == scenario]
            for offset, row in enumerate(here):
                y = index + 0.11 * (offset - (len(here) - 1) / 2)
                fair = honest(rows, row)
                axes.barh(
                    y, max(row["users_harmed"], 0.1), height=0.1, color=colours[row["rule"]], alpha=1 if fair else 0.35
                )
                axes.text(row["users_harmed"] * 1.05 + 0.1, y, f"{row['alarms']:.0%}", va="center", fontsize=6)
        for rule, colour in colours.items():
            axes.barh(0, 0, color=colour, label=rule)
        axes.set_yticks(range(len(scenarios)), [f"{metric} {scenario}" for metric, scenario in scenarios])
        axes.invert_yaxis()
        axes.set_xscale("log")
        axes.set_xlabel(
            "users harmed until caught (or within the hour); the number is the share of runs that caught it"
        )
        axes.set_title(
            "10 requests/s, 10 % to the candidate; pale: stops more than 5 % of healthy candidates", loc="left"
        )
        axes.legend(frameon=False, fontsize="small")
        figure.savefig(path, metadata={"Date": None})
