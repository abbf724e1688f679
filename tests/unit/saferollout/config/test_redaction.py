"""Redaction: parts of bodies that are dropped, and a user's own function."""

import sys
from pathlib import Path
from typing import Any

import pytest

from saferollout.config.redaction import Redaction
from saferollout.domain.errors import ConfigError

BODY = {"customer": {"email": "a@b", "name": "A"}, "rows": [{"x": 1, "name": "A"}, {"x": 2}, 3]}
HOOKS = """
def shorten(body): body["rows"] = []; return body
def leave_out(body): return None
def fail(body): raise ValueError(body)
def confuse(body): return {1, 2}
def reverse(body): return body[::-1]
number = 1
"""


@pytest.fixture
def hooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Functions in a module in the current folder."""
    (tmp_path / "our_hooks.py").write_text(HOOKS)
    (tmp_path / "broken_hooks.py").write_text("import nothing_of_the_kind")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "our_hooks", raising=False)


@pytest.mark.parametrize(
    ("path", "left"),
    [
        ("customer.email", {"customer": {"name": "A"}, "rows": BODY["rows"]}),
        ("$.customer", {"rows": BODY["rows"]}),
        ("rows.name", {"customer": BODY["customer"], "rows": [{"x": 1}, {"x": 2}, 3]}),
        ("rows.*.name", {"customer": BODY["customer"], "rows": [{"x": 1}, {"x": 2}, 3]}),
        ("rows.1.x", {"customer": BODY["customer"], "rows": [{"x": 1, "name": "A"}, {}, 3]}),
        ("rows.2", {"customer": BODY["customer"], "rows": [{"x": 1, "name": "A"}, {"x": 2}, None]}),
        ("customer.*", {"customer": {}, "rows": BODY["rows"]}),
        ("*.name", {"customer": {"email": "a@b"}, "rows": [{"x": 1}, {"x": 2}, 3]}),
    ],
)
def test_a_path_is_dropped_wherever_it_leads(path: str, left: Any) -> None:
    """In every item of a list on the way; the body itself is left as it was."""
    before = repr(BODY)
    redaction = Redaction([path])

    assert redaction.apply(BODY) == left
    redaction.check_met()
    assert repr(BODY) == before


def test_a_path_that_no_request_has_is_refused() -> None:
    """It may be misspelled: then what it should drop would be written."""
    redaction = Redaction(["customer.emial", "customer.name"])
    redaction.apply(BODY)

    with pytest.raises(ConfigError, match=r"--redact: 'customer\.emial' is in no request; correct its spelling"):
        redaction.check_met()


@pytest.mark.usefixtures("hooks")
@pytest.mark.parametrize(
    ("wanted", "body", "left"),
    [
        ("our_hooks:shorten", BODY, {"customer": BODY["customer"], "rows": []}),
        ("our_hooks:leave_out", BODY, None),
        ("our_hooks:reverse", b"abc", b"cba"),
        ("customer", b"abc", None),
    ],
)
def test_a_function_returns_what_is_recorded(wanted: str, body: Any, left: Any) -> None:
    """Or None; bodies that are not JSON come to it as bytes, and no path can clean them."""
    assert Redaction([wanted]).apply(body) == left


@pytest.mark.usefixtures("hooks")
@pytest.mark.parametrize(
    ("wanted", "problem"),
    [
        ("nowhere:redact", "the module of 'nowhere:redact' cannot be imported: ModuleNotFoundError"),
        ("broken_hooks:redact", "the module of 'broken_hooks:redact' cannot be imported"),
        ("our_hooks:missing", "our_hooks has no function missing"),
        ("our_hooks:number", "our_hooks has no function number"),
        ("our_hooks:", "'our_hooks:' is not module:function"),
        ("a..b", "'a..b' is not a JSON path"),
        ("", "'' is not a JSON path"),
    ],
)
def test_what_is_neither_path_nor_function_is_refused(wanted: str, problem: str) -> None:
    """Before anything is read."""
    with pytest.raises(ConfigError) as caught:
        Redaction([wanted])

    assert problem in str(caught.value)


@pytest.mark.usefixtures("hooks")
@pytest.mark.parametrize(
    ("wanted", "problem"), [("fail", "failed with ValueError"), ("confuse", "returned what is neither JSON nor bytes")]
)
def test_a_function_that_fails_ends_it_without_a_word_of_the_body(wanted: str, problem: str) -> None:
    """What it should have taken out must not be in a message."""
    with pytest.raises(ConfigError) as caught:
        Redaction([f"our_hooks:{wanted}"]).apply(BODY)

    assert problem in str(caught.value)
    assert "a@b" not in str(caught.value)
    assert sys.path[0] != str(Path.cwd())
