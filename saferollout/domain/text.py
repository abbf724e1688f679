"""Text from outside: an approver's, a comment, tag values, names of models, what Azure says.

It may hold what a terminal, markdown or HTML takes for more than text.
"""

import re
import unicodedata

_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # colours and the cursor
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"  # titles, links, strings
    r"|\x1b[ -/]*[0-~]?"
)
_DIRECTIONS = frozenset("\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_MARKDOWN = re.compile(
    r"[\\`*\[\]|~]"
    r"|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])"
    r"|^(?:[-+=#]|\d+(?=[.)](?:\s|$)))"
)
_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def printable(text: str) -> str:
    """The text without what controls a terminal, or turns the direction of what follows; lines and tabs stay."""
    if text.isprintable():  # most texts are
        return text
    return "".join(_printed(sign) for sign in _ESCAPES.sub("", text))


def one_line(text: str) -> str:
    """The printable text in one line."""
    return " ".join(printable(text).split())


def as_markdown(text: str) -> str:
    """The text in one line, as markdown that shows it as it is: no heading, table, link, image or HTML."""
    line = _MARKDOWN.sub(_escaped, one_line(text))
    return "".join(_HTML.get(sign, sign) for sign in line)


def _escaped(found: re.Match[str]) -> str:
    sign = found[0]
    return f"{sign}\u200b" if sign.isdecimal() else f"\\{sign}"


def _printed(sign: str) -> str:
    if sign in "\n\t" or not (unicodedata.category(sign) in ("Cc", "Cs") or sign in _DIRECTIONS):
        return sign
    return " " if sign.isspace() else ""
