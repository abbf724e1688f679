"""The compatibility table of docs/local-azure.md: every row names a test, and that test exists."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TESTS = ROOT / "tests"
STATUSES = ("works", "refused", "ignored")


def rows() -> list[list[str]]:
    """The cells of every row under the heading, the tables' heads aside."""
    text = (ROOT / "docs" / "local-azure.md").read_text()
    section = text.split("\n## Compatibility\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|") and not line.startswith("|---")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [row for row in cells if row[-1].strip("| ") != "test"]


def collected_from(path: Path) -> set[str]:
    """The names of a module's tests, as pytest collects them."""
    tree = ast.parse(path.read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_there_is_a_table() -> None:
    """Or the other tests here would pass on nothing."""
    assert len(rows()) > 40


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0][:40])
def test_every_row_says_what_happens_and_names_a_test_that_exists(row: list[str]) -> None:
    """A row without evidence is a guess."""
    assert len(row) == 3
    assert row[1].startswith(STATUSES)
    named = re.findall(r"`((?:tests/unit/localazure/\w+/)?)(\w+\.py)::(test_\w+)`", row[2])
    assert len(named) == row[2].count("::")
    assert named
    for folder, module, test in named:
        (path,) = [ROOT / folder / module] if folder else (TESTS / "integration" / "localazure").rglob(module)
        assert test in collected_from(path)
