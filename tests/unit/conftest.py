"""A small project to break, and a small scoring endpoint that answers as a test says."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import BaseRequestHandler
from typing import Any, NamedTuple

import pytest
from ruamel.yaml import YAML

from saferollout_cli.demo.processes import one_root
from tests.support.serving import serving

CONFIG = "endpoint: endpoint.yml\ndeployment: green.yml\n"
ENDPOINT = "name: diabetes\nauth_mode: key\n"
DEPLOYMENT = """\
name: green
endpoint_name: diabetes
model:
  path: model.bin
code_configuration:
  code: src
  scoring_script: score.py
environment:
  conda_file: conda.yml
instance_type: Standard_DS3_v2
instance_count: 1
"""
FILES = {
    "rollout.yaml": CONFIG,
    "endpoint.yml": ENDPOINT,
    "green.yml": DEPLOYMENT,
    "model.bin": "a model",
    "src/score.py": "def run(data): ...\n",
    "conda.yml": "dependencies: [python=3.11]\n",
    "requests.jsonl": '{"id": "a", "request": {"data": [[1]]}, "answer": [1]}\n\n{"request": {"data": [[2]]}}\n',
}
WORKSPACE = {
    "AZURE_SUBSCRIPTION_ID": "00000000-0000-0000-0000-000000000001",
    "AZURE_RESOURCE_GROUP": "rg-models",
    "AZUREML_WORKSPACE_NAME": "ws-models",
}


@pytest.fixture
def project_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a config and all it points to; the current folder, in an environment that names a workspace."""
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content, encoding="utf-8")
    for name, value in WORKSPACE.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NOWHERE_SET", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Reply(NamedTuple):
    """An endpoint's answer: any JSON value, or text or bytes as they are."""

    status: int
    body: Any
    headers: dict[str, str]


@dataclass
class Endpoint:
    """A scoring endpoint on loopback; each deployment is a function from a request to a reply, None the traffic."""

    deployments: dict[str | None, Callable[[Any], Reply]] = field(default_factory=dict)
    seen: list[tuple[str | None, Any]] = field(default_factory=list)
    """The deployment that each request was pinned to, and its body."""
    request_ids: list[str] = field(default_factory=list)
    """The client request ids that came with requests."""
    types: list[str] = field(default_factory=list)
    """The media type of each request; a body that is not JSON is seen as bytes."""
    uri: str = ""
    released: threading.Event = field(default_factory=threading.Event)
    """Set when the test is over: a deployment that hangs waits for it."""

    def reply(self, status: int, body: Any, headers: dict[str, str] | None = None) -> Reply:
        """What a deployment answers."""
        return Reply(status, body, headers or {})

    def hang(self, _request: Any) -> Reply:
        """A deployment that gives no answer."""
        self.released.wait()
        return self.reply(503, "too late")

    def count(self, deployment: str) -> int:
        """How many requests were pinned to a deployment."""
        return sum(pinned == deployment for pinned, _ in self.seen)


@pytest.fixture(autouse=True, scope="module")
def one_trusted_root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Each client of HTTP reads the roots that it trusts, which takes longer than most tests: one is enough here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(one_root(tmp_path_factory.mktemp("root"))))
        yield


Serve = Callable[[type[BaseRequestHandler]], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serves with a handler on loopback until the test is over; returns the address."""
    with ExitStack() as running:

        def start(handler: type[BaseRequestHandler]) -> str:
            server = running.enter_context(serving(ThreadingHTTPServer(("127.0.0.1", 0), handler)))
            return f"http://127.0.0.1:{server.server_port}"

        yield start


@pytest.fixture
def endpoint(serve: Serve) -> Iterator[Endpoint]:
    """A running endpoint that knows the key `secret`."""
    found = Endpoint()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            text = self.rfile.read(length := int(self.headers["Content-Length"]))
            if len(text) < length:  # the client has gone
                return
            body = json.loads(text) if self.headers["Content-Type"] == "application/json" else text
            found.types.append(self.headers["Content-Type"])
            pinned = self.headers["azureml-model-deployment"]
            found.seen.append((pinned, body))
            if request_id := self.headers["x-ms-client-request-id"]:
                found.request_ids.append(request_id)
            known = self.headers["Authorization"] == "Bearer secret"
            self._reply(found.deployments[pinned](body) if known else found.reply(401, "key_auth_access_denied"))

        def _reply(self, reply: Reply) -> None:
            text = reply.body if isinstance(reply.body, str | bytes) else json.dumps(reply.body)
            content = text if isinstance(text, bytes) else text.encode()
            try:
                self.send_response(reply.status)
                for name, value in ({"Content-Length": str(len(content))} | reply.headers).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)
            except ConnectionError:  # the client did not wait
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Keep stderr for what matters."""

    found.uri = f"{serve(Handler)}/score"
    yield found
    found.released.set()


class Mistake(NamedTuple):
    """A way to get the input wrong, and the one problem that must be reported."""

    name: str
    files: dict[str, str | None]
    """What is written over which file; None removes it."""
    file: str
    key: str
    problem: str
    remedy: str
    at: tuple[int, int] = (0, 0)
    """The line and column of the key; without them where there is none."""
    unset: str = ""
    """An environment variable that is missing."""


def _mistake(row: dict[str, Any]) -> Mistake:
    if "add" in row:
        files, file = {"rollout.yaml": CONFIG + row.pop("add")}, "rollout.yaml"
    elif "replace" in row:
        files, file = {"green.yml": DEPLOYMENT.replace(*row.pop("replace"))}, "green.yml"
    else:
        files, file = row.pop("files"), ""
    where = {"file": file, "key": "", "at": (0, 0)} | row
    return Mistake(**where | {"files": files, "at": tuple(where["at"])})


MISTAKES = [_mistake(row) for row in YAML(typ="safe").load(Path(__file__).with_name("mistakes.yaml"))]


@pytest.fixture(params=MISTAKES, ids=[mistake.name for mistake in MISTAKES])
def mistake(request: pytest.FixtureRequest, project_files: Path, monkeypatch: pytest.MonkeyPatch) -> Mistake:
    """Each mistake in its turn, made in the project."""
    return _make(request.param, project_files, monkeypatch)


SOME = MISTAKES[::9]


@pytest.fixture(params=SOME, ids=[mistake.name for mistake in SOME])
def some_mistake(request: pytest.FixtureRequest, project_files: Path, monkeypatch: pytest.MonkeyPatch) -> Mistake:
    """Every ninth of them, for what takes a process each."""
    return _make(request.param, project_files, monkeypatch)


def _make(made: Mistake, project_files: Path, monkeypatch: pytest.MonkeyPatch) -> Mistake:
    for name, content in made.files.items():
        if content is None:
            (project_files / name).unlink()
        else:
            (project_files / name).write_text(content, encoding="utf-8")
    if made.unset:
        monkeypatch.delenv(made.unset)
    return made
