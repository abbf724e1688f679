"""The approvals page in a real browser, with a certified OpenID provider and a real Prefect server."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from playwright.async_api import Browser, Page, expect
from prefect import get_client
from prefect.client.schemas.actions import ArtifactCreate
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL

from saferollout.approvals.signed_answer import digest_of
from saferollout.azure.memory import Memory
from saferollout.domain.evidence import Check, Evidence, GateVerdict
from saferollout.judge import Batch, Judge, Settings
from saferollout.report.pictures import markdown, with_plots
from tests.support import leaks
from tests.support.asking import Case, current, deployed, dump, go_on, question_of
from tests.support.page_worker import as_worker
from tests.support.provider import SECRET, Site, site
from tests.support.signing import make_pem
from tests.support.stack import Stack
from tests.support.twin import NAME, look

# Prefect's engine leaves the connection open by which it asks where results are kept
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
    pytest.mark.xdist_group("page-ui"),
    pytest.mark.asyncio(loop_scope="module"),
]
PEM = make_pem()
RULES = {"verify": "oidc", "approvers": ["group:ml-approvers"]}
DESKTOP, PHONE = {"width": 1366, "height": 768}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def approvals(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The page of the stack's Prefect server."""
    with site(tmp_path_factory.mktemp("site"), stack.env, PEM) as made:
        yield made
    leaks.note(stack.directory, SECRET, *made.issued.read_text().split())
    shutil.copy(made.log, stack.directory)


@pytest.fixture(autouse=True)
def worker(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process has what a worker has: a key of its own, and the public half of the page's."""
    with as_worker(stack, tmp_path, monkeypatch, PEM):
        yield


async def person(browser: Browser, size: dict[str, int] = DESKTOP) -> Page:
    """Somebody at a screen of this size, with no session yet."""
    context = await browser.new_context(viewport={"width": size["width"], "height": size["height"]})
    context.set_default_timeout(60_000)
    await context.route(re.compile("googleapis"), lambda route: route.abort())  # the provider's own form wants a font
    return await context.new_page()


async def sign_in(page: Page, login: str) -> None:
    """Fill in the provider's form."""
    await page.get_by_placeholder("Enter any login").fill(login)
    await page.get_by_placeholder("and password").fill("any")
    await page.get_by_role("button", name="Sign-in").click()


def make_case(**settings: Any) -> Case:
    """A rollout whose first share was judged, and whose candidate has other code and other packages."""
    judge = Judge(Settings(cut_points_ms=(50.0,), comparisons={"latency": {}}))
    for number in range(40):
        judge.update(Batch(20, number % 3 == 0, 180, 3, [41.0, 54.0, 46.0], [40.0, 55.0, 47.0] * 9, duration_s=15))
    rates = Check(check="error rate", passed=True, candidate="1.8%", live="1.7%", limit="2.7%")
    latency = Check(check="latency", passed=True, candidate="33% above 50 ms", live="33%", limit="43%")
    case = Case(requester="gil@example.org", **({"approvals": RULES} | settings))
    set_contents(case.memory)
    case.evidence = [
        Evidence(gate="smoke test", verdict=GateVerdict.PASSED, summary="25 of 25 answers are as recorded"),
        Evidence(
            gate="judge at 10%",
            verdict=GateVerdict.HEALTHY,
            summary="800 requests of green were no worse than 7,200 of blue",
            checks=[rates, latency],
            state=judge.to_dict(),
        ),
    ]
    return case


def set_contents(memory: Memory) -> None:
    """Let blue and green have code and an environment of their own."""
    old = "".join(f"line {number}\n" for number in range(60))
    memory.codes = {
        "blue-code": {"score.py": old.encode(), "columns.py": b"A = 1\n" * 12},
        "green-code": {"score.py": old.replace("7", "seven").encode() + b"more\n" * 9, "units.py": b"B = 2\n" * 31},
    }
    for name, packages in (("blue", ["numpy==1.26.4", "joblib==1.4.2"]), ("green", ["numpy==2.1.0", "joblib==1.4.2"])):
        conda = {"dependencies": ["python=3.11", {"pip": packages}]}
        memory.environments[f"{name}-environment"] = {"properties": {"condaFile": conda, "image": "base:1"}}
        there = look(memory).deployments[name].resource
        code = {"codeId": f"{name}-code", "scoringScript": "score.py"}
        properties = {"codeConfiguration": code, "environmentId": f"{name}-environment"}
        memory.put_deployment(NAME, name, there | {"properties": there["properties"] | properties})


async def waiting_run(case: Case) -> FlowRun:
    """A suspended run that asks, with its plots among the artifacts and its endpoint in the labels."""
    run = await deployed()
    assert (await go_on(run)).name == "Suspended"
    plots = markdown(with_plots(case.evidence[1]))
    async with get_client() as client:
        await client.update_flow_run_labels(run.id, {"saferollout.endpoint": "diabetes"})
        await client.create_artifact(
            ArtifactCreate(key="diabetes-judge-10-plots", type="markdown", data=plots, flow_run_id=run.id)
        )
    return run


def send_raw(run: UUID, question: str, **fields: str) -> httpx.Response:
    """Answer by Prefect's API, as whoever reaches it can."""
    given = {"decision": "approve", "approver": "ada@example.org", "evidence": question} | fields
    url = f"{PREFECT_API_URL.value()}/flow_runs/{run}/resume"
    return httpx.post(url, json={"run_input": given}, timeout=60)


async def test_an_approver_signs_in_and_approves_and_a_forged_answer_is_refused(
    browser: Browser, approvals: Site, stack: Stack, tmp_path: Path
) -> None:
    """The evidence needs a sign-in, an answer a fresh one; what is not signed by the page leaves the run waiting."""
    with current(make_case()) as case:
        run = await waiting_run(case)
        ada = await person(browser)
        link = f"{approvals.url}/approvals/{run.id}"
        await ada.goto(link)
        await sign_in(ada, "ada")

        await expect(ada).to_have_url(link)
        await expect(ada.get_by_role("heading", level=1)).to_have_text("Give green 10%?")
        finding = ada.get_by_text(
            "judge at 10%: healthy — 800 requests of green were no worse than 7,200 of blue"
        ).first
        await expect(finding).to_be_in_viewport(ratio=1)
        await expect(ada.get_by_role("cell", name="33% above 50 ms")).to_be_visible()
        for changed in ("score.py changed, +15 −6 lines", "units.py added, 31 lines", "numpy 1.26.4 → 2.1.0"):
            await expect(ada.get_by_role("listitem").filter(has_text=changed)).to_be_visible()
        for title in ("Evidence for harm", "Error rates", "Latency"):
            image = ada.get_by_role("img", name=title)
            assert await image.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100
        await expect(ada.get_by_role("button", name="Approve")).to_have_count(0)
        await ada.get_by_role("link", name="Sign in to answer").click()
        await sign_in(ada, "ada")  # the provider asks again although it knows her
        await expect(ada.get_by_role("button", name="Approve")).to_be_in_viewport(ratio=1)
        await ada.screenshot(path=tmp_path / "approvals-page.png")

        asked = await question_of(run)
        assert send_raw(run.id, asked.evidence).json()["status"] == "REJECT"
        assert send_raw(run.id, asked.evidence, proof="e30.forged").json()["status"] == "ACCEPT"
        assert (await go_on(run)).name == "Suspended"
        assert case.decisions == []

        await ada.get_by_label("Comment").fill("numbers are fine\nsecond line")
        await ada.get_by_role("button", name="Approve").click()
        await expect(ada.get_by_role("heading", level=1)).to_have_text("The question has changed")
        await ada.get_by_role("link", name="Read it again").click()
        await expect(ada.get_by_text("no known page key has signed it").first).to_be_visible()
        late = await ada.context.new_page()
        await late.goto(link)
        await ada.get_by_label("Comment").fill("numbers are fine\nsecond line")
        await ada.get_by_role("button", name="Approve").click()
        await expect(ada.get_by_role("heading", level=1)).to_have_text("You have approved: Give green 10%?")
        await late.get_by_role("button", name="Reject").click()
        await expect(late.get_by_role("heading", level=1)).to_have_text("Already answered by ada@example.org")
        assert (await go_on(run)).name == "Completed"

    (decision,) = case.decisions
    assert (decision.approver, decision.proof, decision.identity) == (
        "ada@example.org",
        "oidc",
        f"{approvals.issuer} ada",
    )
    assert decision.comment == "numbers are fine\nsecond line"
    leaks.note(stack.directory, *(cookie["value"] for cookie in await ada.context.cookies()))
    kept = dump(stack.directory / "prefect" / "prefect.db") + approvals.log.read_text()
    assert SECRET not in kept
    assert "".join(PEM.splitlines()[1:-1]) not in kept
    assert "code=" not in approvals.log.read_text()


async def test_on_a_phone_an_approver_rejects_and_others_have_no_right(
    browser: Browser, approvals: Site, tmp_path: Path
) -> None:
    """Nothing is wider than the screen; who may not answer, or not even look, or proves too little, reads so."""
    with current(make_case()) as case:
        run = await waiting_run(case)
        link = f"{approvals.url}/approvals/{run.id}"
        bob = await person(browser, PHONE)
        await bob.goto(link)
        await sign_in(bob, "bob")
        await expect(bob.get_by_text("You have no right to answer this.")).to_contain_text("group:ml-approvers")
        await expect(bob.get_by_role("button", name="Approve")).to_have_count(0)
        mallory = await person(browser, PHONE)
        await mallory.goto(link)
        await sign_in(mallory, "mallory")
        await expect(mallory.get_by_role("heading", level=1)).to_have_text("You have no right to see this")
        eve = await person(browser, PHONE)
        await eve.goto(link)
        await sign_in(eve, "eve")
        await expect(eve.get_by_text("has not verified your e-mail address")).to_be_visible()

        ada = await person(browser, PHONE)
        await ada.goto(approvals.url)
        await sign_in(ada, "ada")
        await ada.locator(f"a[href='/approvals/{run.id}']").click()
        await ada.get_by_role("link", name="Sign in to answer").click()
        await sign_in(ada, "ada")
        await expect(ada.get_by_role("heading", level=1)).to_have_text("Give green 10%?")
        await ada.wait_for_load_state()
        assert await ada.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        await ada.screenshot(path=tmp_path / "approvals-page-phone.png", full_page=True)
        await ada.get_by_role("link", name="Answer ↓").click()
        await expect(ada.get_by_role("button", name="Reject")).to_be_in_viewport(ratio=1)
        await ada.get_by_role("button", name="Reject").click()
        await expect(ada.get_by_role("heading", level=1)).to_have_text("You have rejected: Give green 10%?")
        state = await go_on(run)
        assert (state.name, "ada@example.org rejected 10%" in str(state.message)) == ("Failed", True)
        await ada.get_by_role("button", name="Sign out").click()
        await expect(ada.get_by_role("heading", level=1)).to_have_text("You are signed out")
        led = await ada.request.get(link, max_redirects=0)
        assert (led.status, led.headers["location"]) == (303, f"/sign-in?run={run.id}")


async def test_answers_on_the_other_screens(browser: Browser, approvals: Site) -> None:
    """At a desk somebody without the right cannot answer whatever is sent, and an approver rejects.

    On a phone an approver approves, and whoever has the same page open still reads that it is answered.
    """
    with current(make_case()) as case:
        run = await waiting_run(case)
        link = f"{approvals.url}/approvals/{run.id}"
        bob = await person(browser)
        await bob.goto(f"{approvals.url}/sign-in?fresh=1&run={run.id}")
        await sign_in(bob, "bob")
        await expect(bob.get_by_text("You have no right to answer this.")).to_be_in_viewport(ratio=1)
        await expect(bob.get_by_role("button", name="Approve")).to_have_count(0)
        token = str(await bob.locator("input[name=csrf]").first.get_attribute("value"))
        shown = digest_of((await question_of(run)).text)
        form: dict[str, str | float | bool] = {"csrf": token, "question": (await question_of(run)).response}
        form |= {"decision": "approve", "evidence_text": shown}
        answered = await bob.request.post(link, form=form, headers={"Origin": approvals.url})
        assert (answered.status, "You have no right to answer this" in await answered.text()) == (403, True)

        ada = await person(browser)
        await ada.goto(f"{approvals.url}/sign-in?fresh=1&run={run.id}")
        await sign_in(ada, "ada")
        await ada.get_by_label("Comment").fill("not before Monday")
        await ada.get_by_role("button", name="Reject").click()
        await expect(ada.get_by_role("heading", level=1)).to_have_text("You have rejected: Give green 10%?")
        assert "ada@example.org rejected 10%: not before Monday" in str((await go_on(run)).message)

    with current(make_case()) as case:
        run = await waiting_run(case)
        ada = await person(browser, PHONE)
        await ada.goto(f"{approvals.url}/sign-in?fresh=1&run={run.id}")
        await sign_in(ada, "ada")
        late = await ada.context.new_page()
        await late.goto(f"{approvals.url}/approvals/{run.id}")
        await ada.get_by_role("link", name="Answer ↓").click()
        await ada.get_by_role("button", name="Approve").click()
        await expect(ada.get_by_role("heading", level=1)).to_have_text("You have approved: Give green 10%?")
        await late.get_by_role("button", name="Reject").click()
        await expect(late.get_by_role("heading", level=1)).to_have_text("Already answered by ada@example.org")
        await expect(late.get_by_role("heading", level=1)).to_be_in_viewport(ratio=1)
        assert await late.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        assert (await go_on(run)).name == "Completed"
    assert [decision.decision for decision in case.decisions] == ["approve"]


async def test_other_sites_can_neither_answer_nor_frame_the_page(browser: Browser, approvals: Site) -> None:
    """A form without the page's token, from elsewhere, or after an old sign-in gives no answer; cookies are guarded."""
    with current(make_case()) as case:
        run = await waiting_run(case)
        link = f"{approvals.url}/approvals/{run.id}"
        ada = await person(browser)
        shown = await ada.goto(link)
        await sign_in(ada, "ada")
        await expect(ada.get_by_role("link", name="Sign in to answer")).to_be_visible()
        (cookie,) = [one for one in await ada.context.cookies(approvals.url) if one.get("name") == "saferollout"]
        assert (cookie.get("httpOnly"), cookie.get("sameSite")) == (True, "Lax")
        shown = await ada.goto(link)
        assert shown is not None
        headers = shown.headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "script-src" not in headers["content-security-policy"].replace("default-src 'none'", "")
        assert (headers["x-frame-options"], headers["cache-control"]) == ("DENY", "no-store")

        token = str(await ada.locator("input[name=csrf]").first.get_attribute("value"))
        asked = await question_of(run)
        form: dict[str, str | float | bool] = {"question": asked.response, "decision": "approve"}
        for given, origin, status in (
            (form, approvals.url, 403),
            (form | {"csrf": "x" * 43}, approvals.url, 403),
            (form | {"csrf": token}, "https://evil.example", 403),
            (form | {"csrf": token}, approvals.url, 401),  # it is an old sign-in
        ):
            answered = await ada.request.post(link, form=given, headers={"Origin": origin})
            assert answered.status == status, await answered.text()
        led = await ada.request.get(f"{approvals.url}/sign-in?run=https://evil.example", max_redirects=0)
        assert led.headers["location"].startswith(approvals.issuer)
        assert "evil" not in led.headers["location"]
        assert (await ada.request.get(f"{approvals.url}/signed-in?code=x&state=y")).status == 403

        await ada.route("http://framing.test/", lambda route: route.fulfill(body=f"<iframe src='{link}'></iframe>"))
        await ada.goto("http://framing.test/")
        await expect(ada.frame_locator("iframe").get_by_role("heading", name="Give green 10%?")).to_have_count(0)
        async with get_client() as client:
            state = (await client.read_flow_run(run.id)).state
        assert state is not None
        assert state.name == "Suspended"
    assert case.decisions == []
