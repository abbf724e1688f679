"""What a person reads of the code and the packages that a candidate changes."""

import json
from typing import Any

from saferollout.azure.memory import Memory
from saferollout.azure.workspace import Workspace
from saferollout.domain.endpoint import DeploymentState
from saferollout.rollout.comparison import MAX_LISTED, compare


def environment(*packages: str, image: str = "base:1", **properties: Any) -> dict[str, Any]:
    """An environment as Azure shows it."""
    conda = {"dependencies": ["python=3.11", {"pip": list(packages)}]}
    return {"properties": {"condaFile": json.dumps(conda), "image": image} | properties}


def deployment(code: str = "", environment: str = "") -> DeploymentState:
    """A deployment of this code and environment."""
    made_of = {"code_id": code, "environment_id": environment}
    return DeploymentState(name="any", instance_count=1, provisioning_state="Succeeded", **made_of)


def compared(memory: Memory, live: DeploymentState, candidate: DeploymentState) -> str:
    """What is shown."""
    return compare(Workspace(memory), live, candidate)


def test_files_and_packages_that_changed() -> None:
    """By name, with counts and versions; names cannot be markdown, and an address stays hidden."""
    memory = Memory()
    memory.codes = {
        "c1": {"score.py": b"a\nKEY = 'TOKEN-1'\n", "old.py": b"1\n"},
        "c2": {"score.py": b"a\nKEY = 'TOKEN-2'\nb\n", "a|[b](c).py": b"1\n2\n"},
    }
    memory.environments = {
        "e1": environment("numpy==1.26.4", "scipy==1.17.1", "ours @ https://x:TOKEN-3@y/z.whl", "--pre"),
        "e2": environment("numpy==2.1.0", "joblib", "ours @ https://x:TOKEN-4@y/z.whl", image="base:2"),
    }

    text = compared(memory, deployment("c1", "e1"), deployment("c2", "e2"))

    assert text.splitlines() == [
        "**Code**: 3 differences from live",
        "",
        "- a\\|\\[b\\](c).py added, 2 lines",
        "- old.py removed, 1 line",
        "- score.py changed, +2 −1 lines",
        "",
        "**Environment**: 6 differences from live",
        "",
        "- joblib added: any version",
        "- numpy 1.26.4 → 2.1.0",
        "- ours from another address (not shown)",
        "- scipy removed; it was 1.17.1",
        "- base image base:1 → base:2",
        "- 1 other line of the conda file: channels, options of pip, addresses (not shown)",
    ]


def test_what_is_the_same_is_said_in_a_line() -> None:
    """So are code and environments that only one has, and what was registered under another name."""
    memory = Memory()
    memory.codes = {"c1": {"score.py": b"a"}, "c2": {"score.py": b"a"}}
    memory.environments = {"e1": environment(build={"contextUri": "1"}), "e2": environment(build={"contextUri": "2"})}

    assert compared(memory, deployment("c", "e"), deployment("c", "e")) == (
        "**Code**: the same as live\n\n**Environment**: the same as live"
    )
    assert compared(memory, deployment("c1", "e1"), deployment("c2", "")) == (
        "**Code**: registered anew, with the same content\n\n**Environment**: live has one, the candidate has none"
    )
    assert compared(memory, deployment("", "e1"), deployment("c2", "e2")) == (
        "**Code**: new, live has none\n\n**Environment**: 1 difference from live\n\n"
        "- the Dockerfile, or what is beside it: the packages that it installs are not listed here"
    )


def test_what_cannot_be_read_is_said() -> None:
    """It stops nothing, and the other part is shown all the same."""
    memory = Memory()
    memory.environments = {"e1": environment("numpy==1"), "e2": {"properties": {"condaFile": "- no mapping"}}}

    assert compared(memory, deployment("c1", "e1"), deployment("c2", "e2")) == (
        "**Code**: another one; what changed in it is not known: could not look up the code: it was not found\n\n"
        "**Environment**: another one; what changed in it is not known: its conda file has no list of dependencies"
    )


def test_a_long_list_has_an_end() -> None:
    """A person reads the first ones, and how many more there are."""
    memory = Memory()
    memory.codes = {"c1": {"a": b"1"}, "c2": {f"new{number:02}": b"1" for number in range(40)} | {"a": b"1"}}

    text = compared(memory, deployment("c1"), deployment("c2"))

    assert text.count("\n- ") == MAX_LISTED + 1
    assert "**Code**: 40 differences from live" in text
    assert text.endswith(f"- and {40 - MAX_LISTED} more")
