"""Comparison: which files of the code and which packages the candidate changes, for whoever decides about it.

Names, counts and versions only: what a file holds may be a secret. What cannot be read is said, and stops nothing.
"""

from collections.abc import Callable, Mapping
from typing import Any

from saferollout.azure.workspace import Workspace
from saferollout.config.packages import display_version, read_packages
from saferollout.domain.endpoint import DeploymentState
from saferollout.domain.errors import AzureFailed
from saferollout.domain.file_change import FileChange, Kind
from saferollout.domain.text import as_markdown
from saferollout.domain.words import plural

MAX_LISTED = 15
"""So many files, and so many packages, are listed."""
_NONE = "none"


def compare(azure: Workspace, live: DeploymentState, candidate: DeploymentState) -> str:
    """The files and packages that the candidate changes, as lists in markdown."""
    code = _part("Code", live.code_id, candidate.code_id, lambda: _files(azure, live.code_id, candidate.code_id))
    environment = _part(
        "Environment",
        live.environment_id,
        candidate.environment_id,
        lambda: _packages(azure, live.environment_id, candidate.environment_id),
    )
    return "\n\n".join(filter(None, [code, environment]))


def unknown(why: str) -> str:
    """What is shown where nothing can be compared."""
    return f"**Code and environment**: which files and packages changed is not known: {as_markdown(why)}."


def _part(name: str, live: str, candidate: str, differences: Callable[[], list[str]]) -> str:
    if live == candidate:
        return f"**{name}**: the same as live" if live else ""
    if not live or not candidate:
        return f"**{name}**: {'new, live has none' if candidate else 'live has one, the candidate has none'}"
    try:
        found = differences()
    except (AzureFailed, ValueError) as error:
        return f"**{name}**: another one; what changed in it is not known: {as_markdown(str(error))}"
    if not found:
        return f"**{name}**: registered anew, with the same content"
    rest = len(found) - MAX_LISTED
    listed = found[:MAX_LISTED] + ([f"and {rest} more"] if rest > 0 else [])
    return "\n".join(
        [f"**{name}**: {plural(len(found), 'difference')} from live", "", *(f"- {line}" for line in listed)]
    )


def _files(azure: Workspace, live: str, candidate: str) -> list[str]:
    return [_describe(change) for change in azure.compare_code(live, candidate)]


def _describe(change: FileChange) -> str:
    counts = ""
    if change.added is not None and change.removed is not None:
        match change.kind:
            case Kind.ADDED:
                counts = f", {plural(change.added, 'line')}"
            case Kind.REMOVED:
                counts = f", {plural(change.removed, 'line')}"
            case _:
                counts = f", +{change.added:,} −{change.removed:,} lines"
    elif change.kind is Kind.UNKNOWN:
        counts = ": it is large, and of the same size"
    return f"{as_markdown(change.name)} {change.kind}{counts}"


def _packages(azure: Workspace, live: str, candidate: str) -> list[str]:
    """What differs between two environments, a line each.

    Raises:
        ValueError: One has no list of packages that can be read.
    """
    before, after = (azure.environment(one)["properties"] for one in (live, candidate))
    old, new = (read_packages(one.get("condaFile")) for one in (before, after))
    lines = [
        _line(name, old.versions.get(name), new.versions.get(name))
        for name in sorted(old.versions.keys() | new.versions.keys())
        if old.versions.get(name) != new.versions.get(name)
    ]
    if before.get("image") != after.get("image"):
        lines.append(f"base image {as_markdown(_image(before))} → {as_markdown(_image(after))}")
    if before.get("build") != after.get("build"):
        lines.append("the Dockerfile, or what is beside it: the packages that it installs are not listed here")
    if others := (old.others - new.others).total() + (new.others - old.others).total():
        lines.append(
            f"{plural(others, 'other line')} of the conda file: channels, options of pip, addresses (not shown)"
        )
    return lines


def _image(properties: Mapping[str, Any]) -> str:
    return str(properties.get("image") or _NONE)


def _line(name: str, old: str | None, new: str | None) -> str:
    if old is None:
        return f"{name} added: {as_markdown(display_version(new or ''))}"
    if new is None:
        return f"{name} removed; it was {as_markdown(display_version(old))}"
    if display_version(old) == display_version(new):
        return f"{name} from another address (not shown)"
    return f"{name} {as_markdown(display_version(old))} → {as_markdown(display_version(new))}"
