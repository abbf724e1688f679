"""The form of an approval in both of Prefect's UIs: the verdict first, nothing without a decision, and each answer."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Locator, Page, expect
from playwright.async_api import TimeoutError as TooLate
from prefect import get_client
from prefect.client.schemas.objects import FlowRun

from tests.browser.test_approvals_page import DESKTOP, PEM, make_case, person, waiting_run
from tests.support.asking import current, go_on
from tests.support.page_worker import as_worker
from tests.support.stack import Stack

# Prefect's engine leaves the connection open by which it asks where results are kept
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
    pytest.mark.xdist_group("page-ui"),
    pytest.mark.asyncio(loop_scope="module"),
]
TRIES = 5
OPENS_MS = 12_000.0
FOUND = "judge at 10%: healthy — 800 requests of green were no worse than 7,200 of blue"


@pytest.fixture(autouse=True)
def worker(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process does what a worker does with a run."""
    with as_worker(stack, tmp_path, monkeypatch, PEM):
        yield


class Form:
    """The form of a run that waits, in one of the UIs."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.address = address
        self.dialog: Locator = page.get_by_role("dialog")

    async def open(self) -> None:
        """Open it, as a person who follows the link to the run does."""
        await self.page.goto(self.address)
        await self.page.get_by_role("button", name="Resume").click()

    async def choose(self, decision: str) -> None:
        """Choose from the list; in Prefect 3.9 a click beside the arrow opens nothing."""
        await self.dialog.locator(".p-select-button__icon").first.click()
        await self.page.locator(".p-select-option", has_text=decision).first.click()

    async def fill(self, approver: str, comment: str) -> None:
        """Fill in the other fields."""
        await self.dialog.get_by_role("textbox").nth(0).fill(approver)
        await self.dialog.get_by_role("textbox").nth(1).fill(comment)

    @property
    def submit(self) -> Locator:
        """What sends it."""
        return self.dialog.get_by_role("button", name="Submit")

    async def answer(self, decision: str, approver: str, comment: str, *, is_open: bool = False) -> None:
        """Answer, again while SQLite is busy and the server answers 503."""
        for attempt in range(TRIES):
            if attempt or not is_open:
                await self.open()
            await self.choose(decision)
            await self.fill(approver, comment)
            async with self.page.expect_response(lambda response: response.url.endswith("/resume")) as answered:
                await self.submit.click()
            response = await answered.value
            if response.status != 503:
                assert (await response.json())["status"] == "ACCEPT"
                await self.page.goto("about:blank")  # Prefect's page would draw the run for as long as it goes on
                return
        pytest.fail(f"Prefect's server was busy {TRIES} times")


class NewForm(Form):
    """The same in the new UI."""

    async def open(self) -> None:
        """See `Form`."""
        await self.page.goto(self.address)
        await self.page.get_by_role("button", name="Open menu").click()
        await self.page.get_by_role("menuitem", name="Resume").click()

    async def choose(self, decision: str) -> None:
        """See `Form`; on a busy machine Prefect 3.9 may draw the list beside the screen: a person opens it again."""
        await expect(self.submit).to_be_in_viewport(ratio=1)
        option = self.page.get_by_role("option", name=decision)
        for _ in range(TRIES):
            await self.dialog.get_by_role("button", name=re.compile("^(Select Decision|approve)$")).click()
            with contextlib.suppress(TooLate):
                return await option.click(timeout=OPENS_MS)
            await self.page.keyboard.press("Escape")
        pytest.fail(f"the list was beside the screen {TRIES} times")

    @property
    def submit(self) -> Locator:
        """See `Form`."""
        return self.dialog.get_by_role("button", name="Resume")


async def state_of(run: FlowRun) -> str | None:
    """The run's state, whoever has changed it."""
    async with get_client() as client:
        return (await client.read_flow_run(run.id)).state_name


@pytest.mark.parametrize(("ui", "share"), [("old", 100), ("new", 10)])
async def test_a_person_answers_in_the_form(
    ui: str, share: int, browser: Browser, stack: Stack, tmp_path: Path
) -> None:
    """What was found is read without scrolling; an empty field is named and nothing is sent on; a no rolls back.

    A yes is the decision on record, at the first share as at the last: who, why, for which share. The other two of a UI
    and a share are in test_prefect_ui.py.
    """
    page = await person(browser, DESKTOP)
    page.set_default_timeout(60_000)

    def form_of(run: FlowRun) -> Form:
        path = f"runs/flow-run/{run.id}"
        return Form(page, f"{stack.ui}/{path}") if ui == "old" else NewForm(page, f"{stack.ui}/v2/{path}")

    with current(make_case(approvals={})) as case:
        run = await waiting_run(case)
        form = form_of(run)
        await form.open()
        await expect(form.dialog.get_by_role("heading", name="Give green 10%?")).to_be_in_viewport(ratio=1)
        for_all = (
            form.dialog.get_by_role("listitem") if ui == "new" else form.dialog.get_by_text("Reject rolls everything")
        )
        await expect(for_all.filter(has_text=FOUND)).to_be_in_viewport(ratio=1)
        await expect(form.submit).to_be_in_viewport(ratio=1)
        await page.screenshot(path=tmp_path / f"approval-{ui}.png")

        await form.submit.click()
        await expect(page.get_by_text("'decision' is a required property").first).to_be_visible()
        await form.choose("approve")
        await form.submit.click()
        await expect(page.get_by_text("'approver' is a required property").first).to_be_visible()
        assert await state_of(run) == "Suspended"
        assert case.decisions == []

        await form.answer("reject", "Ada", "too slow for me", is_open=True)
        state = await go_on(run)
    assert (state.name, "Ada rejected 10%: too slow for me" in str(state.message)) == ("Failed", True)

    with current(make_case(approvals={}, stages=[{"traffic": each} for each in range(share, 101, 90)])) as case:
        run = await waiting_run(case)
        await form_of(run).answer("approve", "Ada", "seen in the UI")
        assert (await go_on(run)).name == "Completed"
    (decision,) = case.decisions
    assert (decision.share, decision.decision, decision.approver) == (share, "approve", "Ada")
    assert (decision.comment, decision.proof) == ("seen in the UI", "none")
