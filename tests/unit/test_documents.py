"""What the documents for contributors name is there, and what is there is named."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
DECISIONS = REPOSITORY / "docs" / "decisions"
ARCHITECTURE = REPOSITORY / "docs" / "architecture.md"
DOCUMENTS = [
    ARCHITECTURE,
    REPOSITORY / "CONTRIBUTING.md",
    REPOSITORY / "SECURITY.md",
    *sorted(DECISIONS.glob("*.md")),
]
LINKED = sorted({*DOCUMENTS, REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md")})

PATH = re.compile(r"`((?:[\w.-]+/)+[\w.-]*|[\w-]+\.(?:md|py|yaml|toml|txt|json))`")
"""A path from the top of the repository: what has a slash in it, or the ending of a file."""
LINK = re.compile(r"\]\((?!https?://)([^)#]*)(?:#([^)]*))?\)")


def paths_in(document: Path) -> list[str]:
    """Return every path that the document names in backticks, commands of the environment aside."""
    return [path for path in PATH.findall(document.read_text(encoding="utf-8")) if not path.startswith(".venv/")]


def anchors_of(document: Path) -> set[str]:
    """Return the anchors of the document's headings, as GitHub makes them."""
    text = re.sub(r"```.*?```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def packages(top: str) -> list[str]:
    """Return every package below, and the top itself, as a path that ends with a slash."""
    found = (REPOSITORY / top).rglob("__init__.py")
    return sorted(f"{file.parent.relative_to(REPOSITORY).as_posix()}/" for file in found)


def test_paths_are_found() -> None:
    """The other tests here would pass on nothing."""
    assert len(paths_in(ARCHITECTURE)) > 60
    assert len(packages("saferollout")) > 8
    assert "the-rooms" in anchors_of(ARCHITECTURE)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
def test_every_path_that_a_document_names_exists(document: Path) -> None:
    """Whoever follows one finds the file, also after it was moved."""
    assert [path for path in paths_in(document) if not (REPOSITORY / path).exists()] == []


@pytest.mark.parametrize("document", LINKED, ids=lambda path: path.stem)
def test_every_link_leads_somewhere(document: Path) -> None:
    """A link to a file, and to a heading in it, is followed from where the document lies."""
    for path, anchor in LINK.findall(document.read_text(encoding="utf-8")):
        target = (document.parent / path) if path else document
        assert target.exists(), path
        assert not anchor or anchor in anchors_of(target), f"{path}#{anchor}"


@pytest.mark.parametrize("package", [*packages("saferollout")[1:], *packages("localazure")])
def test_every_room_is_described(package: str) -> None:
    """A new package has its row in the table of the rooms."""
    assert f"| `{package}` |" in ARCHITECTURE.read_text(encoding="utf-8")


def test_every_decision_is_listed() -> None:
    """The list has a line for each file, and no other."""
    listed = re.findall(r"\]\((.*\.md)\)", (DECISIONS / "README.md").read_text(encoding="utf-8"))
    assert sorted(listed) == sorted(path.name for path in DECISIONS.glob("*.md") if path.name != "README.md")
