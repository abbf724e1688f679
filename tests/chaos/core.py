"""A rollout by the plain core, step by step and without Prefect, as often as a failure is to be injected."""

import asyncio
import contextlib
import itertools
import json
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx
import tenacity
import yaml

from saferollout.azure.client import Client
from saferollout.azure.workspace import Workspace
from saferollout.config import project
from saferollout.config.project import Project
from saferollout.config.rollout import WorkspaceConfig
from saferollout.domain.errors import AzureFailed, Lost, Refused, SaferolloutError
from saferollout.gates.scoring import Scorer, check_key
from saferollout.rollout import begin, create, retire, rollback, scale, shift, verify
from saferollout.rollout.guard import Act, Run, Sign, decide
from saferollout.rollout.owner import Owner
from saferollout.rollout.record import Record, now
from saferollout.rollout.rollout import Rollout
from tasks.support.policy import RETRIED
from tests.support.localazure.sdk import PROJECT

T = TypeVar("T")

SHARES = (10, 100)
GUARDED_S = 2.0
"""How often the guard looks."""
LIMIT_S = 240.0
"""How long it may take until the rest of a rollout is put right, once the rollout itself has ended."""


def _worth_retrying(error: BaseException) -> bool:
    return isinstance(error, AzureFailed) and error.retryable


tried = tenacity.Retrying(
    retry=tenacity.retry_if_exception(_worth_retrying),
    stop=tenacity.stop_after_attempt(1 + RETRIED["retries"]),
    wait=tenacity.wait_random_exponential(multiplier=0.2, max=3),
    reraise=True,
)
"""As Prefect tries steps again, though sooner."""


@dataclass
class Site:
    """An endpoint of a thread's own, its files, and its users."""

    name: str
    directory: Path
    config: WorkspaceConfig
    users: "Users" = field(init=False)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        shutil.copytree(PROJECT, self.directory)
        endpoint = yaml.safe_load((self.directory / "endpoint.yml").read_text()) | {"name": self.name}
        (self.directory / "endpoint.yml").write_text(yaml.safe_dump(endpoint))
        (self.directory / "requests.jsonl").write_text(json.dumps({"request": {"x": 2}, "answer": None}) + "\n")
        azure = Workspace(Client(self.config))
        azure.create_endpoint(self.directory / "endpoint.yml")
        azure.create_deployment(self._deployment(), self.name, "blue", assets={}, tags={})
        azure.update_endpoint(self.name, traffic={"blue": 100})
        self.users = Users(azure.get_endpoint(self.name).scoring_uri, secondary_key(self.config, self.name))

    def _deployment(self) -> Path:
        """A deployment's YAML of a model and a code that are new."""
        number = next(self.numbers)
        content = yaml.safe_load((self.directory / "blue-deployment.yml").read_text())
        content |= {"endpoint_name": self.name}
        content["model"] |= {"name": f"factor-{self.name}", "version": str(number)}
        for version in self.directory.glob("models/*"):
            (version / "model.json").write_text(json.dumps({"factor": 2, "number": number, "of": self.name}))
        with (self.directory / "code" / "score.py").open("a") as code:
            code.write(f"# {number}\n")
        path = self.directory / "deployment.yml"
        path.write_text(yaml.safe_dump(content))
        return path

    def project(self, *, scales: bool) -> Project:
        """The next rollout, which is of another revision each time."""
        content = {
            "workspace": self.config.model_dump(),
            "endpoint": "endpoint.yml",
            "deployment": str(self._deployment()),
            "live": {"instance_count": 2} if scales else {},
            "candidate": {"instance_count": 1},
            "stages": [{"traffic": share, "approval": False} for share in SHARES],
            "retire": {"keep_s": 0},
            "rollback": {"candidate": "delete"},
            "smoke_test": {"requests": "requests.jsonl"},
        }
        path = self.directory / "rollout.yaml"
        path.write_text(yaml.safe_dump(content))
        return project.load(path)


def secondary_key(config: WorkspaceConfig, endpoint: str) -> str:
    """The key that users have: the rollout has the other one."""
    client = Client(config)
    ask = tenacity.retry(stop=tenacity.stop_after_delay(LIMIT_S), wait=tenacity.wait_fixed(1))(client._arm.post)  # noqa: SLF001  # no rollout needs this key
    found = ask(f"onlineEndpoints/{endpoint}/listKeys")  # what strikes another rollout's tokens may strike this one
    return str(found["secondaryKey"])


class Users:
    """Somebody who sends a request every fifth of a second; what failed is kept."""

    def __init__(self, uri: str, key: str) -> None:
        self.sent = 0
        self.failures: list[str] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._send, args=(uri, key), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _send(self, uri: str, key: str) -> None:
        with httpx.Client(headers={"Authorization": f"Bearer {key}"}, timeout=60) as http:
            while not self._ended.wait(0.2):
                self.sent += 1
                try:
                    answer = http.post(uri, json={"x": 2})
                except httpx.HTTPError as error:
                    self.failures.append(repr(error))
                    continue
                if answer.status_code != 200 or answer.json()["y"] != 4:
                    self.failures.append(f"{answer.status_code} {answer.text[:200]}")


@dataclass
class End:
    """How a rollout ended."""

    promoted: bool
    reason: str
    took_s: float


class CoreRun:
    """A rollout as the flow has it done: its steps in order, tried again, and the way back for whatever fails."""

    def __init__(self, site: Site, found: Project) -> None:
        self._site = site
        self._project = found
        self._azure = Workspace(Client(found.config.workspace))
        self._owner = Owner(name="ann@laptop", flow_run=str(uuid.uuid4()))
        self.between: Callable[[str], None] = lambda _step: None
        """Called before each step with its name."""

    def run(self) -> End:
        """Roll out, or back; what is left then is the guard's, who looks every other second."""
        began = time.monotonic()
        reason = self._forward()
        ended = time.monotonic()
        while Record.from_tags(self._look().tags) is not None:
            assert time.monotonic() < ended + LIMIT_S, f"stuck: {self._look().tags} after {reason}"
            time.sleep(GUARDED_S)
            with contextlib.suppress(SaferolloutError):
                self._guard()
        return End(not reason, reason, time.monotonic() - began)

    def _look(self) -> Any:
        return tenacity.retry(stop=tenacity.stop_after_delay(LIMIT_S), wait=tenacity.wait_fixed(1))(
            self._azure.get_endpoint
        )(self._site.name)

    def _guard(self) -> None:
        """As the guard: the run has ended."""
        state = self._azure.get_endpoint(self._site.name)
        if record := Record.from_tags(state.tags):
            ended = Run(sign=Sign.ENDED, state="Failed", since=now(), deployed=True)
            match decide(state, record, ended, now()).act:
                case Act.ROLL_BACK:
                    rollback.roll_back(self._azure, self._site.name)
                case Act.RETIRE:
                    retire.retire(self._azure, self._site.name)

    def _forward(self) -> str:
        """Why it went back; empty if it did not."""
        try:
            rollout = self._step(
                "begin",
                lambda azure: begin.begin(azure, self._project, self._owner, gone=None, begun_before=False),
            )
            assert rollout is not None
            self._steps(rollout)
        except Lost as lost:
            return f"lost: {lost}"
        except SaferolloutError as failure:
            with contextlib.suppress(SaferolloutError):
                rollback.roll_back_own(self._azure, self._site.name, lambda owner: owner == self._owner)
            return f"{type(failure).__name__}: {failure}"
        try:
            self._step("end", lambda azure: retire.end(azure, rollout, 0))
        except SaferolloutError:
            return ""  # the guard deletes what is left
        return ""

    def _steps(self, rollout: Rollout) -> None:
        self._step("scale live", lambda azure: scale.scale_live(azure, rollout))
        self._step("create", lambda azure: create.create_candidate(azure, rollout))
        self._step("verify", lambda azure: verify.verify_traffic(azure, rollout))
        self._step("smoke test", lambda azure: self._smoke_test(azure, rollout))
        for share in SHARES:
            self._reach(rollout, share)

    def _reach(self, rollout: Rollout, share: int) -> None:
        self._step(f"scale for {share}%", lambda azure: scale.scale_candidate(azure, rollout, share))
        self._step(f"shift to {share}%", lambda azure: shift.shift_traffic(azure, rollout, share, None))

    def _step(self, name: str, work: Callable[[Workspace], T]) -> T:
        self.between(name)
        return tried.copy()(work, self._azure)

    def _smoke_test(self, azure: Workspace, rollout: Rollout) -> None:
        """One request straight to the candidate, with a key that may have been changed."""

        async def renew() -> str:
            return await asyncio.to_thread(azure.secret, rollout.endpoint, is_refused=True)

        async def ask() -> None:
            uri, secret = azure.get_endpoint(rollout.endpoint).scoring_uri, azure.secret(rollout.endpoint)
            self.between("smoke test with a key")
            async with Scorer(uri, secret, renew=renew) as scorer:
                answer = await scorer.score({"x": 2}, deployment=rollout.candidate)
            check_key([answer])
            if not answer.ok:
                msg = f"the candidate does not answer: {answer.status} {answer.error}"
                raise Refused(msg)

        asyncio.run(ask())
