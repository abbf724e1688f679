"""Answers: how a run pauses or is suspended in Prefect, and what becomes of the answer that is kept."""

import asyncio
import json
from datetime import datetime
from typing import Any
from uuid import UUID

import httpx
import tenacity
from prefect import get_client
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRunInput
from prefect.flow_runs import apause_flow_run, asuspend_flow_run
from prefect.logging import get_run_logger
from prefect.states import Running

from saferollout.rollout.record import now
from tasks.support.artifacts import publish
from tasks.support.orchestrator import passing
from tasks.support.this_run import run_id

POLL_S = 2
CODE = "code"
WAITED = ("paused", "suspended")
SIMILAR = 20
"""How many names that only begin like another one are looked through."""


async def pause(form: Any, timeout_s: int, key: str) -> Any:
    """Wait for an answer, without end while Prefect's server fails: how long it may is for `ThisRun` to say.

    Prefect's own pause ends with the first answer of 500.

    Raises:
        HTTPError: Prefect's server refused for good.
        JSONDecodeError: The answer was not Prefect's, for good.
    """
    while True:
        try:
            await _until_running(form)
            return await apause_flow_run(wait_for_input=form, timeout=timeout_s, poll_interval=POLL_S, key=key)
        except (httpx.HTTPError, json.JSONDecodeError) as error:
            if not passing(error):
                raise
            get_run_logger().warning("the question stays open while Prefect's server fails: %r", error)
            await asyncio.sleep(POLL_S)


async def suspend(form: Any, timeout_s: int, key: str, grace_s: float) -> Any:
    """Suspend the run until there is an answer, and return it; Prefect's own call ends with the first answer of 500.

    Raises:
        HTTPError: Prefect's server refused, or failed for `grace_s` seconds.
        JSONDecodeError: The answer was not Prefect's, for as long.
    """
    tried = False

    async def attempt() -> Any:
        nonlocal tried
        if tried:
            await _complete(form)  # of a run that is suspended Prefect's own call writes no question
        tried = True
        return await asuspend_flow_run(wait_for_input=form, timeout=timeout_s, key=key)

    suspending = tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception(_may_pass),
        wait=tenacity.wait_fixed(POLL_S),
        stop=tenacity.stop_after_delay(grace_s),
        before_sleep=lambda _: get_run_logger().warning(
            "Prefect's server fails; the question is asked again when it answers"
        ),
        reraise=True,
    )
    return await suspending(attempt)


def _may_pass(error: BaseException) -> bool:
    """Whether another attempt may suspend the run; also where half of the question was written, and the reply lost."""
    return passing(error) or (isinstance(error, httpx.HTTPStatusError) and error.response.status_code == 409)


async def _complete(form: Any) -> None:
    """Write the question of a run that is suspended already, as far as it is missing."""
    async with get_client() as client:
        state = (await client.read_flow_run(run_id())).state
        if state and state.is_paused() and (keys := state.state_details.run_input_keyset):
            await _write(client, form, keys)


async def _until_running(form: Any) -> None:
    """Return once the run is not paused; a question that could not be written when it was paused is written now."""
    is_written = False
    async with get_client() as client:
        while (state := (await client.read_flow_run(run_id())).state) and not state.is_running():
            if not is_written and state.is_paused() and (keys := state.state_details.run_input_keyset):
                await _write(client, form, keys)
                is_written = True
            await asyncio.sleep(POLL_S)


async def _write(client: PrefectClient, form: Any, keys: dict[str, str]) -> None:
    """Write form and question, of which the second comes last, unless both are there."""
    kept = [
        await client.filter_flow_run_input(run_id(), keys[part], limit=1, exclude_keys=set())
        for part in ("schema", "description")
    ]
    if all(kept):
        return
    if any(kept):
        await client.delete_flow_run_input(run_id(), keys["schema"])
    await form.asave(keys)


async def close_question() -> None:
    """Go on as running: whoever answers too late gets that as the reply."""
    async with get_client() as client:
        await publish(client.set_flow_run_state(run_id(), Running(), force=True))


async def load_answer(run: UUID, name: str) -> dict[str, Any] | None:
    """The answer that Prefect keeps under this name; None without one."""
    async with get_client() as client:
        stored = await _stored(client, run, name)
    return read_answer(stored) if stored else None


async def find_answer(run: UUID, key: str) -> dict[str, Any] | None:
    """The answer that Prefect keeps under a question's key; None without one."""
    async with get_client() as client:  # Prefect's own helper leaves its connection open
        for waited in WAITED:
            if stored := await _stored(client, run, f"{waited}-{key}-response"):
                return read_answer(stored)
    return None


async def answered_at(key: str) -> datetime:
    """When this run's answer was given, which may be long before a worker takes it up."""
    async with get_client() as client:
        for waited in WAITED:
            if stored := await _stored(client, run_id(), f"{waited}-{key}-response"):
                return min(stored.created or now(), now())
    return now()


async def forget_code(key: str) -> None:
    """Take the code out of the answer that Prefect keeps; the rest of it stays."""
    async with get_client() as client:
        for name in (f"{waited}-{key}-response" for waited in WAITED):
            stored = await _stored(client, run_id(), name)
            if stored and (answer := read_answer(stored)) and CODE in answer:
                await client.delete_flow_run_input(run_id(), name)
                del answer[CODE]
                await client.create_flow_run_input(run_id(), name, json.dumps(answer))


async def _stored(client: PrefectClient, run: UUID, name: str) -> FlowRunInput | None:
    """What is kept under this very name: Prefect looks for names that begin so."""
    for stored in await client.filter_flow_run_input(run, name, limit=SIMILAR, exclude_keys=set()):
        if stored.key == name:
            return stored
    return None


def read_answer(stored: FlowRunInput) -> dict[str, Any] | None:
    """The fields of an answer; None where it has none: whoever reaches the API can write anything there."""
    try:
        found = stored.decoded_value
    except ValueError:  # it is not even JSON
        return None
    return found if isinstance(found, dict) else None
