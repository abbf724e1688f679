"""Answers that are given on a command line by people who sign in: the approvals page signs them, as it signs all.

This process sees neither a token nor a key: it shows where to sign in, and asks the page what has come of that.
"""

import os
from collections.abc import Callable
from typing import Any
from uuid import UUID

import httpx
import tenacity
from prefect.client.orchestration import PrefectClient

from saferollout.approvals.signed_answer import PAGE_URL, digest_of
from saferollout.domain.errors import AzureFailed, ConfigError, Problem, Refused, words_of
from saferollout_cli.approvals import ONLY_AT_THE_PAGE, Reply, WaitingQuestion, resume
from saferollout_cli.page.settings import address_problem
from tasks.support.threads import run_in_daemon_thread

TIMEOUT_S = 60.0
ELSEWHERE = f"{ONLY_AT_THE_PAGE}, or set {PAGE_URL} to its address, to sign in from here"


class Desk:
    """Gives an answer in whatever way its question wants, and knows whose it was."""

    def __init__(self, say: Callable[[str], None]) -> None:
        """`say` shows a line to the person."""
        self._say = say
        self.approver = ""

    async def give(self, client: PrefectClient, run_id: UUID, given: Reply, question: WaitingQuestion) -> None:
        """Give the answer to Prefect or, where it must be signed, to the page; whose it is, the sign-in says then.

        Raises:
            Refused: Prefect, the page, the provider or the person refuses.
            ConfigError: The page's address is wrong.
            AzureFailed: The page does not answer.
        """
        self.approver = given.approver
        if not question.wants_proof:
            return await resume(client, run_id, given, question)
        page = os.environ.get(PAGE_URL, "").rstrip("/")
        if not page:
            raise Refused(ELSEWHERE)
        if problem := address_problem(page):
            raise ConfigError(Problem("environment", PAGE_URL, f"{page} {problem}", "write it as https://<host>"))
        self.approver = await run_in_daemon_thread(lambda: _answer(page, run_id, given, question, self._say), "sign-in")
        return None


def _answer(page: str, run_id: UUID, given: Reply, question: WaitingQuestion, say: Callable[[str], None]) -> str:
    with httpx.Client(base_url=page, timeout=TIMEOUT_S) as client:
        try:
            begun = _ask(
                client,
                "sign-in",
                run=str(run_id),
                question=question.response,
                evidence_text=digest_of(question.text),
                decision=given.decision,
                comment=given.comment,
            )
            say(f"To {given.decision} this, sign in at {begun['address']} and enter the code {begun['code']}")
            say(f"Waiting for that, at most {begun['lives_s'] / 60:.0f} minutes.")
            return _wait(client, begun, say)
        except (httpx.RequestError, ValueError, KeyError) as error:
            msg = f"the approvals page {page} does not answer as it should: {words_of(error)}"
            raise AzureFailed(msg, retryable=True) from None


def _wait(client: httpx.Client, begun: dict[str, Any], say: Callable[[str], None]) -> str:
    """Ask at the pace that the page wants until the answer is given, also while the page or Prefect's server fails."""
    interval_s = float(begun["interval_s"])
    failing = httpx.TransportError, AzureFailed

    def look() -> dict[str, Any]:
        nonlocal interval_s
        said = _ask(client, "answer", sign_in=begun["sign_in"])
        interval_s = float(said.get("interval_s", interval_s))
        return said

    def report(state: tenacity.RetryCallState) -> None:
        if state.outcome and (failure := state.outcome.exception()):
            say(f"{failure}; asked again in {interval_s:.0f} s")

    asking = tenacity.Retrying(
        retry=tenacity.retry_if_result(lambda said: "approver" not in said) | tenacity.retry_if_exception_type(failing),
        wait=lambda _: interval_s,
        stop=tenacity.stop_after_delay(float(begun["lives_s"])),
        before_sleep=report,
    )
    try:
        return str(asking(look)["approver"])
    except tenacity.RetryError as error:
        if failure := error.last_attempt.exception():
            raise failure from None
        msg = "nobody signed in in time: nothing was answered"
        raise Refused(msg) from None


def _ask(client: httpx.Client, what: str, **fields: str) -> dict[str, Any]:
    """What the page says.

    Raises:
        Refused: It refuses.
        AzureFailed: It, or what it needs, fails.
    """
    answered = client.post(f"/commands/{what}", json=fields)
    said = answered.json()
    if not isinstance(said, dict):
        msg = "it is not the approvals page"
        raise ValueError(msg)  # as for text that is not JSON
    if answered.is_success:
        return said
    msg = f"{said['title']}: {said['text']}"
    if answered.status_code in (500, 502, 503):
        raise AzureFailed(msg, retryable=True)
    raise Refused(msg)
