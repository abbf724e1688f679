"""Text from outside shows as text, in markdown, HTML and a terminal."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from saferollout.domain.errors import AzureFailed, Rejected
from saferollout.domain.text import as_markdown, one_line, printable

READER = MarkdownIt("gfm-like", {"html": True, "linkify": False})


@given(st.text() | st.text(alphabet="a1_*`~|<>&[]()!#+-=.:\\ \n"))
@example("fine\n\n# ✅ Promoted: shop\n\n| errors |\n| --- |\n| 0 |")
@example("<img src=x onerror=alert(1)><details open>")
@example("![x](https://example.org/x.svg) [here](javascript:alert(1))")
@example("__init__ 1. a\n2) b\n- c\n=== --- &lt; &#35;")
def test_markdown_shows_the_text_as_it_is(text: str) -> None:
    """A comment is a paragraph of plain text: it makes no heading, table, list, link, image or HTML."""
    tokens = READER.parse(as_markdown(text))

    shown = one_line(text)
    if not shown:
        assert tokens == []
        return
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    parts = tokens[1].children or []
    assert {part.type for part in parts} <= {"text", "text_special"}
    assert "".join(part.content for part in parts).replace("\u200b", "") == shown.replace("\u200b", "")


@given(st.text())
@example("\x1b]0;all is well\x07\x1b[32mPromoted\x1b[0m\x9b31m\u202egpj.exe")
def test_a_terminal_is_not_controlled(text: str) -> None:
    """Neither its title nor its colours, cursor or direction of writing are in anybody's hands but ours."""
    shown = printable(text)

    assert not set(shown) & {*map(chr, range(9)), *map(chr, range(11, 32)), *map(chr, range(127, 160)), "\u202e"}
    assert printable(shown) == shown


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("a\x1b]0;title\x07b", "ab"),
        ("a\x1b]8;;https://x\x1b\\link\x1b]8;;\x1b\\", "alink"),
        ("a\r\n b\tc", "a b c"),
        ("\x9b1mbold", "bold"),
        ("Zoë 💚 日本", "Zoë 💚 日本"),
    ],
)
def test_only_what_controls_is_taken_away(text: str, line: str) -> None:
    """What people write stays, in any script."""
    assert one_line(text) == line


def test_what_failed_says_so_without_colours() -> None:
    """A failure's text becomes a run's state, a log's line and a line in a terminal."""
    azure = AzureFailed("could not create: \x1b[30m\n\x1b[0m(ResourceNotReady) no\x1b]0;x\x07", status=400)

    assert str(azure) == "could not create: \n(ResourceNotReady) no"
    assert str(Rejected("ann rejected 10%: \x1b[2Jno")) == "ann rejected 10%: no"
