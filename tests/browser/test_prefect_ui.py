"""What a person sees and clicks in Prefect's UI."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from tests.browser.conftest import QUIET, chromium
from tests.support.stack import Endpoint, Stack, wait_for

TRIES = 5


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium; CI must have it."""
    path = chromium()
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=QUIET)
        yield started
        started.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page with room for a whole form."""
    opened = browser.new_page(viewport={"width": 1280, "height": 1100})
    opened.set_default_timeout(60_000)
    yield opened
    opened.close()


def send(page: Page, submit: Locator, path: str) -> bool:
    """Click, and return whether the server took it: while SQLite is busy it answers 503, and a person clicks again."""
    with page.expect_response(lambda response: response.url.endswith(path)) as answered:
        submit.click()
    assert answered.value.status in (200, 201, 503), answered.value.text()
    return answered.value.status != 503


def answer(page: Page, run: str, decision: str, approver: str, comment: str = "", *, is_new: bool = False) -> None:
    """Fill in the form of a waiting run and send it, again if the server was busy; in the old or the new UI."""
    for _ in range(TRIES):
        page.goto(run)
        if (_answer_in_new if is_new else _answer)(page, decision, approver, comment):
            page.goto("about:blank")  # Prefect's page would draw the run for as long as it goes on
            return
    pytest.fail(f"Prefect's server was busy {TRIES} times")


def _answer_in_new(page: Page, decision: str, approver: str, comment: str) -> bool:
    page.get_by_role("button", name="Open menu").click()
    page.get_by_role("menuitem", name="Resume").click()
    form = page.get_by_role("dialog")
    form.get_by_role("button", name="Select Decision").click()
    page.get_by_role("option", name=decision).click()
    form.get_by_role("textbox", name="Approver").fill(approver)
    form.get_by_role("textbox", name="Comment").fill(comment)
    return send(page, form.get_by_role("button", name="Resume"), "/resume")


def _answer(page: Page, decision: str, approver: str, comment: str) -> bool:
    page.get_by_role("button", name="Resume").click()
    form = page.get_by_role("dialog")
    form.locator(".p-select-button__icon").first.click()  # in Prefect 3.9 a click beside the arrow opens nothing
    page.locator(".p-select-option", has_text=decision).first.click()
    form.get_by_role("textbox").nth(0).fill(approver)
    form.get_by_role("textbox").nth(1).fill(comment)
    return send(page, form.get_by_role("button", name="Submit"), "/resume")


def test_person_decides_on_the_evidence_in_the_ui(stack: Stack, endpoint: Endpoint, page: Page, tmp_path: Path) -> None:
    """The waiting run shows what changes and what was found; answers in both UIs' forms go on with the rollout."""
    deployment, _ = endpoint.turning("assert False, 'turned bad'")
    run = endpoint.submit(endpoint.config(deployment=str(deployment), stages=endpoint.stages()))
    stack.until(run, "Suspended")
    page.goto(f"{stack.ui}/runs/flow-run/{run}")

    page.get_by_role("button", name="Resume").click()
    evidence = page.get_by_role("dialog")
    expect(evidence).to_contain_text(f"Give green 10% of the traffic of {endpoint.name}?")
    expect(evidence).to_contain_text("diabetes:2")
    expect(evidence).to_contain_text("smoke test: passed")
    expect(evidence).to_contain_text("turning.py added, 10 lines")
    expect(evidence).to_contain_text("Environment: the same as live")
    page.screenshot(path=tmp_path / "approval.png")
    page.set_viewport_size({"width": 1366, "height": 768})
    finding = evidence.get_by_text("Reject rolls everything back.")
    expect(finding).to_contain_text("smoke test: passed")
    expect(finding).to_be_in_viewport(ratio=1)  # the form says what was found also where the evidence needs scrolling
    answer(page, f"{stack.ui}/runs/flow-run/{run}", "approve", "Ada", "seen in the UI")
    wait_for("the next question", lambda: asks(stack, run, "Give green 100%") or None)
    answer(page, f"{stack.ui}/v2/runs/flow-run/{run}", "approve", "Bob", "seen in the new UI", is_new=True)

    stack.until(run, "Completed")
    artifacts = stack.artifacts(run)
    report = artifacts[f"{endpoint.name}-report"]["data"]
    for share, approver, comment in ((10, "Ada", "seen in the UI"), (100, "Bob", "seen in the new UI")):
        given = rf"^\| {share}% \| approve \| {approver} \| self-declared \| [^|]+ \| {comment} \|"
        assert re.search(given, report, re.MULTILINE), report
    sees_plots(page, f"{stack.ui}/artifacts/artifact/{artifacts[f'{endpoint.name}-judge-10-plots']['id']}")


def asks(stack: Stack, run: str, question: str) -> bool:
    """Whether the run waits, and asks this."""
    if stack.run(run)["state_name"] != "Suspended":
        return False
    try:
        return question in stack.question(run)
    except httpx.HTTPStatusError as error:  # the question is written a moment later
        if error.response.status_code != 404:
            raise
        return False


def sees_plots(page: Page, link: str) -> None:
    """A gate's plots are shown as pictures, and the numbers behind each unfold as JSON."""
    page.goto(link)
    for title in ("Evidence for harm", "Error rates", "Latency"):
        picture = page.get_by_role("img", name=title)
        expect(picture).to_be_visible()
        assert picture.evaluate("image => image.naturalWidth") > 100
    page.get_by_text("Error rates: the numbers as JSON").click()
    numbers = page.locator("details[open] code")
    expect(numbers).to_be_visible()
    assert json.loads(numbers.inner_text())["candidate"]["rate"]


def test_custom_run_is_a_form(stack: Stack, endpoint: Endpoint, page: Page) -> None:
    """Under *Custom run* the rollout's parameters are fields; a model is two of them, and what is typed is run."""
    config = endpoint.config()
    (deployment,) = stack.api("POST", "/deployments/filter", json={"deployments": {"name": {"any_": ["rollout"]}}})
    page.goto(f"{stack.ui}/deployments/deployment/{deployment['id']}/run")

    fields = page.get_by_role("textbox")
    expect(page.get_by_text("Path of the rollout's config, or its name")).to_be_visible()
    page.get_by_text("ModelVersion", exact=True).click()
    expect(page.get_by_text("The registered model's name.")).to_be_visible()
    fields.nth(1).fill(str(config))
    fields.nth(2).fill("nobody")
    fields.nth(3).fill("9")
    submit = page.get_by_role("button", name="Submit")
    wait_for("the server to take it", lambda: send(page, submit, "/create_flow_run") or None)
    page.goto("about:blank")

    of_deployment = {"deployments": {"id": {"any_": [deployment["id"]]}}, "sort": "EXPECTED_START_TIME_DESC"}

    def started() -> str | None:
        runs = stack.api("POST", "/flow_runs/filter", json=of_deployment)
        return next((run["id"] for run in runs if run["parameters"]["config"] == str(config)), None)

    shown = stack.until(wait_for("the run", started), "Failed")
    expected = {"config": str(config), "model": {"name": "nobody", "version": "9"}}
    given = {name: value for name, value in shown["parameters"].items() if value}  # all else is empty, as by default
    assert given == expected
    assert "nobody" in shown["state"]["message"]
