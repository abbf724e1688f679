"""The part of the Kusto query language that local Azure runs: where, project, summarize, order by, take, count."""

import datetime
import re
from collections.abc import Callable, Iterable
from typing import Any

from localazure.arm.errors import UnsupportedQuery
from localazure.monitor.metrics import percentile
from localazure.monitor.times import moment

Row = dict[str, Any]
Condition = Callable[[Row], bool]

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_STRING = r"\"[^\"]*\"|'[^']*'"
_TERM = re.compile(
    rf"(?P<column>\w+)\s*(?:(?P<operator>==|!=|=~|>=|<=|>|<)\s*(?P<value>{_STRING}|-?[\d.]+|\w+\s*\([^()]*\))"
    rf"|(?P<among>in)\s*\((?P<values>[^()]*)\))"
)
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "=~": lambda a, b: str(a).lower() == str(b).lower(),
    ">=": lambda a, b: a >= b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    "<": lambda a, b: a < b,
}


def run(
    query: str, table: str, columns: dict[str, str], rows: Iterable[Row], now: datetime.datetime
) -> tuple[dict[str, str], list[Row]]:
    """Return the result's columns (name: Kusto type) and rows.

    Raises:
        UnsupportedQuery: The query is outside of the subset, or wrong.
    """
    source, *steps = (part.strip() for part in _split(query.strip().rstrip(";"), "|"))
    if source != table:
        raise UnsupportedQuery(f"the table must be {table}, not {source!r}")
    found = list(rows)
    for step in steps:
        verb, _, rest = step.partition(" ")
        rest = rest.strip()
        match verb:
            case "where":
                conditions = [_condition(term, columns, now) for term in re.split(r"\s+and\s+", rest)]
                found = [row for row in found if all(condition(row) for condition in conditions)]
            case "project":
                names = [_column(name, columns) for name in rest.split(",")]
                columns = {name: columns[name] for name in names}
            case "summarize":
                columns, found = _summarize(rest, columns, found)
            case "order" | "sort":
                found = _order(rest, columns, found)
            case "take" | "limit" if re.fullmatch(r"\d{1,9}", rest, re.ASCII):
                found = found[: int(rest)]
            case "count" if not rest:
                columns, found = {"Count": "long"}, [{"Count": len(found)}]
            case _:
                raise UnsupportedQuery(f"{step!r}: supported are where, project, summarize, order by, take, count")
    return columns, found


def _split(text: str, separator: str) -> list[str]:
    """Return the parts of `text`, split outside of quotes and parentheses."""
    parts, depth, quote = [""], 0, ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        else:
            depth += (character == "(") - (character == ")")
        if character == separator and not quote and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def _condition(term: str, columns: dict[str, str], now: datetime.datetime) -> Condition:
    match = _TERM.fullmatch(term.strip())
    if match is None:
        raise UnsupportedQuery(f"{term!r}: conditions are 'Column op value' or 'Column in (…)', joined by 'and'")
    column = _column(match["column"], columns)
    if match["among"]:
        among = [_value(value, columns[column], now) for value in _split(match["values"], ",")]
        return lambda row: row[column] in among
    value, compare = _value(match["value"], columns[column], now), _COMPARISONS[match["operator"]]
    # A value that is not there equals nothing, and is neither more nor less.
    return lambda row: compare(row[column], value) if row[column] is not None else match["operator"] == "!="


def _value(text: str, kind: str, now: datetime.datetime) -> Any:
    text = text.strip()
    found: Any
    if re.fullmatch(_STRING, text):
        found, is_kind = text[1:-1], "string"
        if kind == "int" and re.fullmatch(
            r"\d{1,9}", found, re.ASCII
        ):  # Microsoft's own queries compare codes with quoted numbers
            return int(found)
    elif call := re.fullmatch(r"(ago|datetime|now)\s*\(\s*([^()]*?)\s*\)", text):
        is_kind = "datetime"
        try:
            moments = {"ago": lambda: now - _duration(call[2]), "datetime": lambda: moment(call[2]), "now": lambda: now}
            found = moments[call[1]]()
        except (ValueError, OverflowError) as error:
            raise UnsupportedQuery(f"{text!r} is not a time") from error
    else:
        try:
            found, is_kind = float(text), "real"
        except ValueError as error:
            raise UnsupportedQuery(f"{text!r} is not a value: strings are quoted") from error
    if is_kind != ("real" if kind in ("real", "long", "int") else kind):
        raise UnsupportedQuery(f"{text!r} cannot be compared with a column of the type {kind}")
    return found


def _duration(text: str) -> datetime.timedelta:
    match = re.fullmatch(r"(\d{1,8}(?:\.\d+)?)(ms|s|m|h|d)", text.strip(), re.ASCII)
    if match is None:
        raise UnsupportedQuery(f"{text!r} is not a timespan such as 5m")
    return datetime.timedelta(seconds=float(match[1]) * _UNITS[match[2]])


def _summarize(text: str, columns: dict[str, str], rows: list[Row]) -> tuple[dict[str, str], list[Row]]:
    aggregates_text, *by = re.split(r"\s+by\s+", f" {text}", maxsplit=1)
    keys = [_key(part.strip(), columns) for part in _split(by[0], ",")] if by else []
    aggregates = [_aggregate(part.strip(), columns) for part in _split(aggregates_text, ",")]
    groups: dict[tuple[Any, ...], list[Row]] = {} if keys else {(): []}
    for row in rows:
        groups.setdefault(tuple(key(row) for _, _, key in keys), []).append(row)
    result = []
    for labels, members in groups.items():
        found = {name: label for (name, _, _), label in zip(keys, labels, strict=True)}
        result.append(found | {name: function(members) for name, _, function in aggregates})
    kinds = [(name, kind) for name, kind, _ in keys] + [(name, kind) for name, kind, _ in aggregates]
    return dict(kinds), result


def _key(text: str, columns: dict[str, str]) -> tuple[str, str, Callable[[Row], Any]]:
    if match := re.fullmatch(r"bin\s*\(\s*(\w+)\s*,\s*(\w+)\s*\)", text):
        column = _column(match[1], columns)
        width = _duration(match[2]).total_seconds()
        if columns[column] != "datetime" or not width:
            raise UnsupportedQuery(f"{text!r}: bin is supported on times only, and with a timespan that is not 0")

        def floor(row: Row) -> datetime.datetime:
            return datetime.datetime.fromtimestamp(row[column].timestamp() // width * width, datetime.UTC)

        return column, "datetime", floor
    column = _column(text, columns)
    return column, columns[column], lambda row: row[column]


def _aggregate(text: str, columns: dict[str, str]) -> tuple[str, str, Callable[[list[Row]], Any]]:
    match = re.fullmatch(
        r"(?:(\w+)\s*=\s*)?(count|avg|min|max|sum|percentile)\s*\(\s*(\w*)\s*(?:,\s*(\d+(?:\.\d+)?))?\s*\)", text
    )
    if match is None:
        raise UnsupportedQuery(f"{text!r}: aggregates are count, avg, min, max, sum, percentile")
    name, function, argument, share = match.groups()
    if function == "count" and not argument:
        return name or "count_", "long", len
    column = _column(argument, columns)
    is_number = columns[column] in ("real", "long", "int")
    if not is_number or (function == "percentile") != (share is not None) or float(share or 0) > 100:
        raise UnsupportedQuery(
            f"{text!r} is not valid: the column must be a number, and percentile takes a share of 100"
        )
    functions: dict[str, Callable[[list[float]], float]] = {
        "avg": lambda values: sum(values) / len(values),
        "min": min,
        "max": max,
        "sum": sum,
        "percentile": lambda values: percentile(sorted(values), float(share) / 100),
    }
    if function not in functions:
        raise UnsupportedQuery(f"{text!r}: count takes no argument")
    apply = functions[function]
    named = name or "_".join(part for part in (function, column, share) if part)
    return named, "real", lambda rows: _of_numbers(apply, [row[column] for row in rows])


def _of_numbers(apply: Callable[[list[float]], float], values: list[float | None]) -> float | None:
    numbers = [value for value in values if value is not None]
    return apply(numbers) if numbers else None


def _order(text: str, columns: dict[str, str], rows: list[Row]) -> list[Row]:
    match = re.fullmatch(r"by\s+(\w+)(?:\s+(asc|desc))?", text)
    if match is None:
        raise UnsupportedQuery(f"'order {text}': supported is 'order by Column [asc|desc]'")
    column = _column(match[1], columns)
    return sorted(rows, key=lambda row: (row[column] is not None, row[column]), reverse=match[2] != "asc")


def _column(name: str, columns: dict[str, str]) -> str:
    name = name.strip()
    if name not in columns:
        raise UnsupportedQuery(f"there is no column {name!r}; there are {', '.join(columns)}")
    return name
