"""Evidence as people see it, and as Prefect keeps it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from saferollout.domain.evidence import Check, Evidence, GateVerdict, headlines, markdown_table
from saferollout.domain.text import one_line

EVIDENCE = Evidence(
    gate="smoke test",
    verdict=GateVerdict.FAILED,
    summary="wrong answers: 2 of 4",
    checks=[
        Check(check="failed requests", passed=True, candidate="0 of 4", live="0 of 4", limit="≤ 0"),
        Check(check="wrong answers", passed=False, candidate="2 of 4", live="0 of 4", limit="≤ 0"),
        Check(check="difference to live", passed=None, candidate="2 on average", live="", limit="", note="new\nmodel"),
    ],
    duration_s=1.5,
    state={"n": [1.5, 2], "deep": {"a": None}},
)


def test_a_finding_is_a_sentence_and_a_table() -> None:
    """Passed, failed and merely reported are marks in front of each line; what needs a sentence comes below."""
    assert headlines([EVIDENCE, EVIDENCE]) == "\n".join(["- **smoke test: failed** — wrong answers: 2 of 4"] * 2)
    assert EVIDENCE.details == (
        "**smoke test**\n\n"
        "|  | check | candidate | live | limit |\n"
        "| --- | --- | --- | --- | --- |\n"
        "| ✅ | failed requests | 0 of 4 | 0 of 4 | ≤ 0 |\n"
        "| ❌ | wrong answers | 2 of 4 | 0 of 4 | ≤ 0 |\n"
        "| · | difference to live | 2 on average |  |  |\n"
        "\n- difference to live: new model\n"
    )


def test_evidence_survives_json() -> None:
    """A persisted result is the evidence that was found, the judge's state included."""
    assert Evidence.model_validate_json(EVIDENCE.model_dump_json()) == EVIDENCE


def test_no_rows_are_no_table() -> None:
    """Evidence without checks is its sentence."""
    assert markdown_table([]) == ""


@pytest.mark.parametrize(
    ("cell", "written"),
    [("a|b", r"a\|b"), ("a\nb\r\n c", "a b c"), (r"C:\models", r"C:\\models"), (r"a\|b", r"a\\\|b"), ("", "")],
)
def test_a_cell_stays_one_cell(cell: str, written: str) -> None:
    """A person's comment or a server's error cannot break the table it is in."""
    assert markdown_table([{"x": cell}]).splitlines()[2] == f"| {written} |"


@given(st.lists(st.text(), min_size=1, max_size=4))
def test_what_is_written_is_what_is_read(texts: list[str]) -> None:
    """Whatever the text, each row has its cells, and each cell its words."""
    table = markdown_table([{str(number): text for number, text in enumerate(texts)}])

    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(table)
    cells = [token.children for token in tokens if token.type == "inline"]
    read = ["".join(part.content for part in cell or []) for cell in cells[len(texts) :]]
    assert [text.replace("\u200b", "") for text in read] == [one_line(text).replace("\u200b", "") for text in texts]
