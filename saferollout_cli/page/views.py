"""How the page looks: templates without a script."""

from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from saferollout.approvals.person import Person
from saferollout.approvals.signed_answer import digest_of
from saferollout_cli.approvals import WaitingQuestion
from saferollout_cli.listing import Waiting
from saferollout_cli.page.plots import Plot
from saferollout_cli.page.trouble import Trouble

_TEMPLATES = Environment(
    loader=PackageLoader("saferollout_cli.page", "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")
"""Evidence quotes what others have written: none of it is HTML."""
COMMANDS = "/commands/"
"""Below this address the page speaks JSON with the command line."""
_PLAIN_SIGNS = str.maketrans({"✅": "✓", "❌": "✗", "\ufe0f": None})
"""Signs that are in every font, in place of coloured ones."""


def _moment(at: datetime | None) -> str:
    return at.astimezone(UTC).strftime("%-d %B %Y, %H:%M UTC") if at else "without an end"


_TEMPLATES.filters["moment"] = _moment


def _page(request: Request, template: str, status: int = 200, **values: Any) -> Response:
    csrf = str(request.session.get("csrf", "")) if "session" in request.scope else ""
    values = {"person": None, "csrf": csrf} | values
    return HTMLResponse(_TEMPLATES.get_template(template).render(values), status)


def waiting_list(request: Request, person: Person, waiting: Sequence[Waiting]) -> Response:
    """What waits for an approval."""
    return _page(request, "list.html", person=person, waiting=waiting)


def approval(
    request: Request,
    person: Person,
    waiting: Waiting,
    question: WaitingQuestion,
    plots: Sequence[Plot],
    *,
    done: str,
    why_not: str,
    is_fresh: bool,
) -> Response:
    """One approval, with the form where `why_not` is empty and the sign-in is fresh."""
    _, _, body = question.text.partition("\n\n")
    return _page(
        request,
        "approval.html",
        person=person,
        waiting=waiting,
        question=question,
        evidence=Markup(_MARKDOWN.render(body.translate(_PLAIN_SIGNS))),  # noqa: S704  # HTML in it is text, see above
        evidence_text=digest_of(question.text),
        plots=plots,
        done=done,
        why_not=why_not,
        is_fresh=is_fresh,
    )


def message(
    request: Request,
    status: int,
    title: str,
    text: str,
    link: tuple[str, str] = ("All approvals", "/"),
    *,
    person: Person | None = None,
) -> Response:
    """A few words, and where to go on."""
    return _page(request, "message.html", status, title=title, text=text, link=link, person=person)


async def trouble(request: Request, error: Exception) -> Response:
    """What cannot be done, and why."""
    if not isinstance(error, Trouble):
        raise error
    if request.url.path.startswith(COMMANDS):
        return JSONResponse({"title": error.title, "text": error.text}, error.status)
    return message(request, error.status, error.title, error.text, error.link)


async def refusal(request: Request, error: Exception) -> Response:
    """An address or a method that the page does not have."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    return message(request, status, "There is no such page", "The link may be old or incomplete.")


async def style(_: Request) -> Response:
    """The style sheet."""
    text = files("saferollout_cli.page").joinpath("templates/style.css").read_text(encoding="utf-8")
    return Response(text, media_type="text/css")
