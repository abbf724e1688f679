"""What the approvals page signs, and this process in a worker's place for such answers."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL, PREFECT_LOCAL_STORAGE_PATH, temporary_settings

from saferollout.approvals.keys import KEY, PAGE_KEY
from saferollout.approvals.person import Person
from saferollout.approvals.signed_answer import SignedAnswer, digest_of
from saferollout.domain.endpoint import Choice
from saferollout.rollout.record import now
from tests.support import leaks
from tests.support.asking import question_of
from tests.support.signing import make_pem, public_pem
from tests.support.stack import Stack


def person(name: str, subject: str = "", *groups: str) -> Person:
    """Somebody who has signed in."""
    return Person(
        issuer="https://id.example.org",
        subject=subject or name,
        name=f"{name}@example.org",
        memberships=tuple(f"group:{group}" for group in groups),
        signed_in_at=now(),
    )


async def signed(run: FlowRun, who: Person, decision: Choice = "approve", **other: Any) -> SignedAnswer:
    """What the page signs when this person answers what the run asks."""
    asked = await question_of(run)
    given = SignedAnswer(
        flow_run=str(run.id),
        question=asked.response.partition("-")[2].removesuffix("-response"),
        evidence=asked.evidence,
        evidence_text=digest_of(asked.text),
        decision=decision,
        approver=who.name,
        comment="ok",
        person=who,
        at=now(),
    )
    return given.model_copy(update=other)


@contextmanager
def as_worker(stack: Stack, folder: Path, monkeypatch: pytest.MonkeyPatch, page: str) -> Iterator[None]:
    """What a worker has: a key of its own, the public half of the `page`'s, and the stack's Prefect server."""
    monkeypatch.setenv(KEY, key := make_pem())
    leaks.note(stack.directory, key.splitlines()[1], page.splitlines()[1])
    monkeypatch.setenv(PAGE_KEY, public_pem(page))
    with temporary_settings({PREFECT_API_URL: stack.env["PREFECT_API_URL"], PREFECT_LOCAL_STORAGE_PATH: folder}):
        yield
    gc.collect()  # while the warnings of what Prefect leaves open are ignored
