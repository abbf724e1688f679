"""What the page shows and takes: the list, one approval, an answer to it, and the sign-in."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from uuid import UUID

import httpx
from prefect import get_client
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from saferollout.approvals.person import Person
from saferollout.approvals.signed_answer import SignedAnswer, digest_of, seal
from saferollout.domain.errors import Refused
from saferollout.domain.text import one_line
from saferollout.rollout.record import now
from saferollout_cli.approvals import Reply, WaitingQuestion, resume, stored, waiting_question
from saferollout_cli.listing import KEY, describe, list_waiting
from saferollout_cli.page import views
from saferollout_cli.page.device import DeviceSignIn
from saferollout_cli.page.guard import Guard, read_command, read_form
from saferollout_cli.page.plots import read_plots
from saferollout_cli.page.settings import Settings
from saferollout_cli.page.signin import SESSION_S, SignIn
from saferollout_cli.page.trouble import Trouble

PREFECT_S = 30.0


def make_app(settings: Settings) -> ASGIApp:
    """The page as an ASGI application."""
    page = Page(settings)
    app = Starlette(
        routes=[
            Route("/", page.show_list, methods=["GET"]),
            Route("/approvals/{run:uuid}", page.show, methods=["GET"]),
            Route("/approvals/{run:uuid}", page.answer, methods=["POST"]),
            Route("/sign-in", page.sign_in, methods=["GET"]),
            Route("/signed-in", page.signed_in, methods=["GET"]),
            Route("/sign-out", page.sign_out, methods=["POST"]),
            Route(f"{views.COMMANDS}sign-in", page.begin_command, methods=["POST"]),
            Route(f"{views.COMMANDS}answer", page.finish_command, methods=["POST"]),
            Route("/style.css", views.style, methods=["GET"]),
        ],
        middleware=[
            Middleware(TrustedHostMiddleware, allowed_hosts=[settings.host], www_redirect=False),
            Middleware(
                SessionMiddleware,
                secret_key=secrets.token_hex(32),  # who has signed in is forgotten at the end of the process, too
                session_cookie="__Host-saferollout" if settings.is_secure else "saferollout",
                max_age=SESSION_S,
                same_site="lax",  # `strict` would leave the cookie out when the provider sends the browser back
                https_only=settings.is_secure,
            ),
        ],
        exception_handlers={Trouble: views.trouble, HTTPException: views.refusal},
    )
    return Guard(app, is_secure=settings.is_secure)


@asynccontextmanager
async def _prefect() -> AsyncIterator[PrefectClient]:
    """A client of Prefect's server, whose failures are said in plain words."""
    try:
        async with asyncio.timeout(PREFECT_S), get_client() as client:
            yield client
    except (httpx.HTTPError, TimeoutError, ValueError):
        text = "Prefect's server does not answer as it should. If you have just answered, look whether it was taken."
        raise Trouble(503, "This does not work now", text) from None


async def _run(client: PrefectClient, run: UUID) -> FlowRun:
    try:
        return await client.read_flow_run(run)
    except ObjectNotFound:
        raise Trouble(404, "There is no such run", "The link may be old or incomplete.") from None


async def _question(client: PrefectClient, run: UUID) -> WaitingQuestion | None:
    try:
        return await waiting_question(client, await _run(client, run))
    except Refused:
        return None


async def _same_question(client: PrefectClient, run: UUID, form: Mapping[str, str]) -> WaitingQuestion:
    """What the run asks.

    Raises:
        Trouble: That is not what somebody has read.
    """
    question = await _question(client, run)
    seen = (form.get("question", ""), form.get("evidence_text", ""))
    if question is None or seen != (question.response, digest_of(question.text)):
        raise await _changed(client, run, seen[0])
    return question


class Page:
    """The page's requests."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sign_in = SignIn(settings)
        self._devices = DeviceSignIn(settings)

    async def sign_in(self, request: Request) -> Response:
        """Send the browser to the provider; what is asked for is a run's id and never an address."""
        try:
            run = str(UUID(request.query_params.get("run", "")))
        except ValueError:
            run = ""
        return await self._sign_in.begin(request, run, fresh="fresh" in request.query_params)

    async def signed_in(self, request: Request) -> Response:
        """Take up who comes back from the provider."""
        run = await self._sign_in.finish(request)
        return RedirectResponse(f"/approvals/{run}" if run else "/", 303)

    async def sign_out(self, request: Request) -> Response:
        """Forget who has signed in."""
        await read_form(request, self._settings.url)
        self._sign_in.end(request)
        text = "You may still be signed in at the provider; each answer needs a new sign-in there."
        return views.message(request, 200, "You are signed out", text, ("Sign in", "/sign-in"))

    async def show_list(self, request: Request) -> Response:
        """Show what waits for an approval."""
        if (person := self._sign_in.person(request)) is None:
            return RedirectResponse("/sign-in", 303)
        self._check_user(person)
        async with _prefect() as client:
            waiting = await list_waiting(client)
        return views.waiting_list(request, person, waiting)

    async def show(self, request: Request) -> Response:
        """Show one approval with its evidence, and the form if this person may answer."""
        run: UUID = request.path_params["run"]
        if (person := self._sign_in.person(request)) is None:
            return RedirectResponse(f"/sign-in?run={run}", 303)
        self._check_user(person)
        done = request.session.pop("done", None)
        async with _prefect() as client:
            question = await _question(client, run)
            waiting = await describe(client, await _run(client, run)) if question else None
            plots = await read_plots(client, run) if question else []
        if question is None or waiting is None:
            if done:
                text = "The run goes on. Its report says what becomes of it."
                return views.message(request, 200, done, text, person=person)
            raise Trouble(404, "This run does not wait for an approval", "Perhaps somebody else has answered already.")
        return views.approval(
            request,
            person,
            waiting,
            question,
            plots,
            done=done or "",
            why_not=_why_not(person, question),
            is_fresh=self._sign_in.is_fresh(person),
        )

    async def answer(self, request: Request) -> Response:
        """Give an answer to Prefect, signed, unless something has changed since it was shown."""
        run: UUID = request.path_params["run"]
        if (person := self._sign_in.person(request)) is None:
            raise _too_old(run)
        form = await read_form(request, self._settings.url)
        self._check_user(person)
        if not self._sign_in.is_fresh(person):
            raise _too_old(run)
        title = await self._give(person, run, form)
        verb = "approved" if form.get("decision") == "approve" else "rejected"
        request.session["done"] = f"You have {verb}: {title}"
        return RedirectResponse(f"/approvals/{run}", 303)

    async def begin_command(self, request: Request) -> Response:
        """Let somebody who answers on a command line sign in with another device."""
        form = await read_command(request)
        self._devices.check()
        try:
            run = UUID(form.get("run", ""))
        except ValueError:
            raise Trouble(400, "That is not an answer", "Nothing was answered.") from None
        async with _prefect() as client:
            await _same_question(client, run, form)
        return JSONResponse(await self._devices.begin(run, form))

    async def finish_command(self, request: Request) -> Response:
        """Give the answer of somebody who has signed in meanwhile; else say when to ask again."""
        form = await read_command(request)
        pending = self._devices.find(form.get("sign_in", ""))
        async with pending.lock:
            if pending.done is None:
                try:
                    if (person := await self._devices.look(pending)) is None:
                        return JSONResponse({"interval_s": pending.interval_s}, 202)
                    self._check_user(person)
                    title = await self._give(person, pending.run, pending.form)
                except Trouble as trouble:
                    if trouble.status < 500:
                        self._devices.forget(pending)
                    raise
                pending.done = {"approver": person.name, "question": title}
        return JSONResponse(pending.done)

    async def _give(self, person: Person, run: UUID, form: Mapping[str, str]) -> str:
        """Give a person's answer to Prefect, signed, unless something has changed since it was shown; return the title.

        Raises:
            Trouble: It does not count, or was not taken.
        """
        async with _prefect() as client:
            question = await _same_question(client, run, form)
            if why_not := _why_not(person, question):
                raise Trouble(403, "You have no right to answer this", why_not)
            try:
                await resume(client, run, self._reply(person, run, question, form), question)
            except Refused as refused:
                if (now_asked := await _question(client, run)) and now_asked.response == question.response:
                    text = str(refused)
                    raise Trouble(409, "The answer was not taken", text, ("Back", f"/approvals/{run}")) from None
                raise await _changed(client, run, question.response) from None
        return question.title

    def _reply(self, person: Person, run: UUID, question: WaitingQuestion, form: Mapping[str, str]) -> Reply:
        """The answer, with the page's signature where the question wants one.

        Raises:
            Trouble: The form says something that no person can have chosen there.
        """
        comment = form.get("comment", "").replace("\r\n", "\n").strip()
        given = {"decision": form.get("decision"), "approver": person.name, "comment": comment}
        try:
            reply = Reply.model_validate(given | {"code": form.get("code", "")})
        except ValidationError:
            text = "An answer is approve or reject, with a comment of at most 500 characters."
            raise Trouble(400, "The answer was not taken", text, ("Back", f"/approvals/{run}")) from None
        if not question.wants_proof:
            return reply
        named = tuple(
            one for one in person.memberships if one in question.approvers
        )  # the others are nobody's business
        signed = SignedAnswer(
            flow_run=str(run),
            question=question.response.partition("-")[2].removesuffix("-response"),
            evidence=question.evidence,
            evidence_text=digest_of(question.text),
            decision=reply.decision,
            approver=person.name,
            comment=comment,
            person=person.model_copy(update={"memberships": named}),
            at=now(),
        )
        return reply.model_copy(update={"proof": seal(signed, self._settings.keys)})

    def _check_user(self, person: Person) -> None:
        if not person.is_one_of(self._settings.approvers):
            text = f"You are signed in as {person.name}, who is not among the approvers of this page."
            raise Trouble(403, "You have no right to see this", text, ("Sign in as somebody else", "/sign-in?fresh=1"))


def _why_not(person: Person, question: WaitingQuestion) -> str:
    """Why this person may not answer; the run itself decides, this spares an answer that it would refuse."""
    if not question.approvers or person.is_one_of(question.approvers):
        return ""
    return f"You are signed in as {person.name}. This can be answered by: {', '.join(question.approvers)}."


def _too_old(run: UUID) -> Trouble:
    text = "Each answer needs a new sign-in. Nothing was answered."
    return Trouble(401, "Your sign-in is too old", text, ("Sign in again", f"/sign-in?fresh=1&run={run}"))


async def _changed(client: PrefectClient, run: UUID, key: str) -> Trouble:
    """What to say where the question that somebody has read is no longer the one that waits."""
    kept = await stored(client, run, key) if KEY.fullmatch(key) else None
    who = one_line(str(kept.get("approver"))) if isinstance(kept, dict) else ""
    if await _question(client, run):
        why = f"{who} has answered, and the run asks again. " if who else ""
        text = f"{why}What you have read is no longer what is asked. Read it again; nothing was answered."
        return Trouble(409, "The question has changed", text, ("Read it again", f"/approvals/{run}"))
    if who and isinstance(kept, dict):
        text = f"{who} has answered this before you: {one_line(str(kept.get('decision')))}. Your answer was not taken."
        return Trouble(409, f"Already answered by {who}", text)
    text = "The time may be over, or somebody has ended the run. Nothing was answered."
    return Trouble(409, "This run no longer waits", text)
