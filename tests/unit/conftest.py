"""A small project to break, and a small scoring endpoint that answers as a test tells it to."""

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
    """An endpoint's answer: any JSON value, or text as it stands."""

    status: int
    body: Any
    headers: dict[str, str]


@dataclass
class Endpoint:
    """A scoring endpoint on loopback; each deployment is a function from a request to a reply."""

    deployments: dict[str, Callable[[Any], Reply]] = field(default_factory=dict)
    seen: list[tuple[str | None, Any]] = field(default_factory=list)
    """The deployment that each request was pinned to, and its body."""
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


Serve = Callable[[type[BaseRequestHandler]], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serves with a handler on loopback until the test is over; returns the address."""
    with ExitStack() as running:

        def start(handler: type[BaseRequestHandler]) -> str:
            server = running.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), handler))
            serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            serving.start()
            running.callback(serving.join)
            running.callback(server.shutdown)
            return f"http://127.0.0.1:{server.server_port}"

        yield start


@pytest.fixture
def endpoint(serve: Serve) -> Iterator[Endpoint]:
    """A running endpoint that knows the key ``secret``."""
    found = Endpoint()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            pinned = self.headers["azureml-model-deployment"]
            found.seen.append((pinned, body))
            known = self.headers["Authorization"] == "Bearer secret"
            self._reply(found.deployments[pinned](body) if known else found.reply(401, "key_auth_access_denied"))

        def _reply(self, reply: Reply) -> None:
            text = reply.body if isinstance(reply.body, str) else json.dumps(reply.body)
            try:
                self.send_response(reply.status)
                for name, value in ({"Content-Length": str(len(text.encode()))} | reply.headers).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text.encode())
            except ConnectionError:  # the client did not wait
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Keep stderr for what matters."""

    found.uri = f"{serve(Handler)}/score"
    yield found
    found.released.set()


class Mistake(NamedTuple):
    """A way to get the input wrong, and the one problem that must be told."""

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


def _config(more: str, *expected: str) -> tuple[dict[str, str | None], str, str, str, str]:
    return ({"rollout.yaml": CONFIG + more}, "rollout.yaml", *expected)  # type: ignore[return-value]


def _deployment(old: str, new: str, *expected: str) -> tuple[dict[str, str | None], str, str, str, str]:
    return ({"green.yml": DEPLOYMENT.replace(old, new)}, "green.yml", *expected)  # type: ignore[return-value]


SPELLING = "remove it or correct its spelling"
PATH = "correct the path (it starts at this file)"
NAME_RULE = (
    "use 3 to 32 letters, digits and single dashes, beginning with a letter and ending with a letter or digit"
)  # fmt: skip
BRACKETS = "correct the indentation, quotes or brackets there"
MISTAKES = [
    Mistake("no config", {"rollout.yaml": None}, "rollout.yaml", "", "no such file", "check the path"),
    Mistake("empty config", {"rollout.yaml": ""}, "rollout.yaml", "", "holds no mapping of keys to values",
            "write `key: value` lines"),
    Mistake("list for config", {"rollout.yaml": "- a\n"}, "rollout.yaml", "", "holds no mapping of keys to values",
            "write `key: value` lines"),
    Mistake("YAML syntax", *_config("stages: [", "",
            "YAML syntax error: expected the node content, but found '<stream end>'", BRACKETS), at=(3, 10)),
    Mistake("YAML tab", *_config("live:\n\tinstance_count: 2\n", "",
            "YAML syntax error: found character '\\t' that cannot start any token", BRACKETS), at=(4, 1)),
    Mistake("no date", *_config("live: 2024-13-45\n", "", "holds no valid YAML: month must be in 1..12",
            "put it in quotes"), at=(3, 7)),
    Mistake("unknown key", *_config("endpiont: x\n", "endpiont", "unknown key", SPELLING), at=(3, 1)),
    Mistake("unknown inner key", *_config("stages:\n- trafic: 10\n  traffic: 100\n", "stages[0].trafic",
            "unknown key", SPELLING), at=(4, 3)),
    Mistake("number for key", *_config("live: {1: 2}\n", "live.1", "unknown key", "keys are words"), at=(3, 8)),
    Mistake("missing key", {"rollout.yaml": "endpoint: endpoint.yml\n"}, "rollout.yaml", "deployment",
            "required, but not there", "add it"),
    Mistake("missing inner key", *_config("stages: [{approval: true}]\n", "stages[0].traffic",
            "required, but not there", "add it"), at=(3, 10)),
    Mistake("percent sign", *_config("stages: [{traffic: 10%}]\n", "stages[0].traffic", "'10%' does not fit",
            "write a whole number"), at=(3, 11)),
    Mistake("fraction", *_config("stages: [{traffic: 0.5}]\n", "stages[0].traffic", "0.5 does not fit",
            "write a whole number"), at=(3, 11)),
    Mistake("above 100", *_config("stages: [{traffic: 101}]\n", "stages[0].traffic", "101 does not fit",
            "write 100 or less"), at=(3, 11)),
    Mistake("no share", *_config("stages: [{traffic: 0}]\n", "stages[0].traffic", "0 does not fit",
            "write 1 or more"), at=(3, 11)),
    Mistake("not ascending", *_config("stages: [{traffic: 50}, {traffic: 50}, {traffic: 100}]\n", "stages",
            "traffic goes [50, 50, 100], but each stage must have more than the one before",
            "sort them, e.g. 10, 100"), at=(3, 1)),
    Mistake("not to 100", *_config("stages: [{traffic: 10}]\n", "stages",
            "traffic goes [10], but the last stage must be 100", "add a stage with traffic: 100"), at=(3, 1)),
    Mistake("no stages", *_config("stages: []\n", "stages",
            "traffic goes [], but the last stage must be 100", "add a stage with traffic: 100"), at=(3, 1)),
    Mistake("stages no list", *_config("stages: 100\n", "stages", "100 does not fit", "write a list"), at=(3, 1)),
    Mistake("section no mapping", *_config("live: 2\n", "live", "2 does not fit",
            "write `key: value` lines under it"), at=(3, 1)),
    Mistake("section empty", *_config("live:\n", "live", "is empty", "write a value or remove the key"), at=(3, 1)),
    Mistake("not a number", *_config("smoke_test: {tolerance: little}\n", "smoke_test.tolerance",
            "'little' does not fit", "write a number"), at=(3, 14)),
    Mistake("not yes or no", *_config("stages: [{traffic: 100, approval: maybe}]\n", "stages[0].approval",
            "'maybe' does not fit", "write true or false"), at=(3, 25)),
    Mistake("not a choice", *_config("rollback: {candidate: burn}\n", "rollback.candidate", "'burn' does not fit",
            "write 'keep' or 'delete'"), at=(3, 12)),
    Mistake("alpha too large", *_config("stages: [{traffic: 100, judge: {alpha: 0.5}}]\n", "stages[0].judge.alpha",
            "0.5 does not fit", "write a number below 0.5"), at=(3, 33)),
    Mistake("no rate", *_config("stages: [{traffic: 100, judge: {requests_per_s: 0}}]\n",
            "stages[0].judge.requests_per_s", "0 does not fit", "write a number above 0"), at=(3, 33)),
    Mistake("minimum above maximum", *_config("stages: [{traffic: 100, judge: {max_duration_s: 1}}]\n",
            "stages[0].judge", "min_duration_s is above max_duration_s", "make it smaller"), at=(3, 25)),
    Mistake("harmless above healthy", *_config("stages: [{traffic: 100, judge: {margin: 0.5}}]\n", "stages[0].judge",
            "no_worse_than is not above margin", "make it larger"), at=(3, 25)),
    Mistake("numbers without scale", *_config(
            "stages: [{traffic: 100, judge: {prediction_drift: {kind: numbers, tolerance: 0.1}}}]\n",
            "stages[0].judge.prediction_drift", "numbers have no scale",
            "add scale, the difference that counts as full disagreement"), at=(3, 33)),
    Mistake("required but off", *_config(
            "stages: [{traffic: 100, judge: {required: [quality]}}]\n", "stages[0].judge",
            "required names quality, but quality is off", "add quality, or do not require it"), at=(3, 25)),
    Mistake("labels and borders", *_config(
            "stages: [{traffic: 100, judge: {output_drift: {labels: [a], borders: [1]}}}]\n",
            "stages[0].judge.output_drift", "needs either labels or borders", "write one of them"), at=(3, 33)),
    Mistake("quality without truth", {
                "rollout.yaml": CONFIG + "stages: [{traffic: 100, judge: {quality: {kind: labels}}}]\n",
                "requests.jsonl": '{"request": 1}\n',
            }, "rollout.yaml", "stages[0].judge.quality", "requests.jsonl holds no true answer",
            "add answers there, or remove it", at=(3, 33)),
    Mistake("source without its key", *_config(
            "stages: [{traffic: 100, judge: {sources: [{kind: traffic_log}]}}]\n", "stages[0].judge.sources[0]",
            "traffic_log needs workspace_id", "add it"), at=(3, 43)),
    Mistake("key of another source", *_config(
            "stages: [{traffic: 100, judge: {sources: [{kind: probes, url: 'http://x'}]}}]\n",
            "stages[0].judge.sources[0]", "probes has no url", "remove it"), at=(3, 43)),
    Mistake("counted twice", *_config(
            "stages: [{traffic: 100, judge: {sources: [{kind: azure_metrics}, "
            "{kind: traffic_log, workspace_id: x}]}}]\n",
            "stages[0].judge.sources", "azure_metrics and traffic_log would count the same requests twice",
            "keep one of them"), at=(3, 33)),
    Mistake("source too late", *_config(
            "stages: [{traffic: 100, judge: {max_duration_s: 200, sources: [{kind: azure_metrics}]}}]\n",
            "stages[0].judge", "azure_metrics tells nothing before max_duration_s is over",
            "make that longer than its delay"), at=(3, 25)),
    Mistake("answers without probes", *_config(
            "stages: [{traffic: 100, judge: {output_drift: {labels: [a]}, sources: [{kind: azure_metrics}]}}]\n",
            "stages[0].judge", "output_drift compares answers, which only probes have", "add kind: probes to sources"),
            at=(3, 25)),
    Mistake("mirrored too much", *_config("shadow: {mirror: 60}\n", "shadow.mirror", "60 does not fit",
            "write 50 or less"), at=(3, 10)),
    Mistake("mirror on Kubernetes", {
                "rollout.yaml": CONFIG + "shadow: {mirror: 10}\n", "endpoint.yml": ENDPOINT + "compute: azureml:k8s\n",
            }, "rollout.yaml", "shadow", "endpoint.yml is a Kubernetes endpoint, which cannot mirror traffic",
            "remove it", at=(3, 1)),
    Mistake("number for text", *_config("workspace: {resource_group: 7}\n", "workspace.resource_group",
            "7 does not fit", "write text, in quotes if it is all digits"), at=(3, 13)),
    Mistake("number for path", {"rollout.yaml": "endpoint: 7\ndeployment: green.yml\n"}, "rollout.yaml", "endpoint",
            "7 does not fit", "write a file's path", at=(1, 1)),
    Mistake("slot name", *_config("slots: [blue, green_2]\n", "slots[1]", "'green_2' is no deployment name",
            NAME_RULE), at=(3, 15)),
    Mistake("slot with capitals", *_config("slots: [Blue, green]\n", "slots[0]",
            "'Blue' has capitals, which the Azure ML SDK loses in a traffic rule", "write 'blue'"), at=(3, 9)),
    Mistake("key twice", *_config("live: {instance_count: 1, instance_count: 2}\n", "",
            'YAML syntax error: found duplicate key "instance_count"', "remove one of the two"), at=(3, 27)),
    Mistake("equal slots", *_config("slots: [blue, blue]\n", "slots", "both are 'blue'", "name two different ones"),
            at=(3, 1)),
    Mistake("three slots", *_config("slots: [red, green, blue]\n", "slots", "['red', 'green', 'blue'] does not fit",
            "write at most 2 entries"), at=(3, 1)),
    Mistake("unset variable", *_config("workspace: {name: '${NOWHERE_SET}'}\n", "workspace.name",
            "environment variable NOWHERE_SET is not set", "export it or write the value"), at=(3, 13)),
    Mistake("unset number", *_config("live: {instance_count: '${NOWHERE_SET}'}\n", "live.instance_count",
            "environment variable NOWHERE_SET is not set", "export it or write the value"), at=(3, 8)),
    Mistake("unset workspace", {}, "rollout.yaml", "workspace.name",
            "environment variable AZUREML_WORKSPACE_NAME is not set", "export it or write the value",
            unset="AZUREML_WORKSPACE_NAME"),
    Mistake("no endpoint file", {"endpoint.yml": None}, "rollout.yaml", "endpoint", "no such file: endpoint.yml", PATH,
            at=(1, 1)),
    Mistake("no deployment file", {"green.yml": None}, "rollout.yaml", "deployment", "no such file: green.yml", PATH,
            at=(2, 1)),
    Mistake("folder for file", *_config("smoke_test: {requests: src}\n", "smoke_test.requests", "is a folder: src",
            PATH), at=(3, 14)),
    Mistake("no named requests", *_config("smoke_test: {requests: some/where.jsonl}\n", "smoke_test.requests",
            "no such file: some/where.jsonl", PATH), at=(3, 14)),
    Mistake("no requests", {"requests.jsonl": None}, "rollout.yaml", "smoke_test.requests",
            "no such file: requests.jsonl", "put recorded requests there or name another file"),
    Mistake("no answer schema", *_config("smoke_test: {answer_schema: s.json}\n", "smoke_test.answer_schema",
            "no such file: s.json", PATH), at=(3, 14)),
    Mistake("endpoint without name", {"endpoint.yml": "auth_mode: key\n"}, "endpoint.yml", "name",
            "required, but not there", "add it"),
    Mistake("endpoint name", {"endpoint.yml": "name: my_endpoint\n"}, "endpoint.yml", "name",
            "'my_endpoint' is no endpoint name", NAME_RULE, at=(1, 1)),
    Mistake("deployment syntax", {"green.yml": "model: 'x\n"}, "green.yml", "",
            "YAML syntax error: found unexpected end of stream", BRACKETS, at=(2, 1)),
    Mistake("other endpoint", *_deployment("endpoint_name: diabetes", "endpoint_name: other", "endpoint_name",
            "is 'other'", "write 'diabetes', the name in endpoint.yml"), at=(2, 1)),
    Mistake("no model", *_deployment("model:\n  path: model.bin\n", "", "model", "required, but not there",
            "name a model, e.g. azureml:diabetes:2")),
    Mistake("no model in nothing", {"green.yml": "{}\n"}, "green.yml", "model", "required, but not there",
            "name a model, e.g. azureml:diabetes:2"),
    Mistake("model string", *_deployment("model:\n  path: model.bin\n", "model: azureml:a b@latest\n", "model",
            "'azureml:a b@latest' is not a model version",
            "write azureml:<name>:<version> or azureml:<name>@latest"), at=(3, 1)),
    Mistake("other label", *_deployment("model:\n  path: model.bin\n", "model: azureml:m@prod\n", "model",
            "Azure ML's SDK does not know the label 'prod' here", "write a version"), at=(3, 1)),
    Mistake("other label in a registry", *_deployment(
            "environment:\n  conda_file: conda.yml\n",
            "environment: azureml://registries/r/environments/e/labels/prod\n", "environment",
            "Azure ML's SDK does not know the label 'prod' here", "write a version"), at=(8, 1)),
    Mistake("label of code", *_deployment("code: src", "code: azureml:c@latest", "code_configuration.code",
            "Azure ML's SDK does not know the label 'latest' here", "write a version"), at=(6, 3)),
    Mistake("environment without version", *_deployment(
            "environment:\n  conda_file: conda.yml\n", "environment: azureml:e\n", "environment",
            "'azureml:e' is not an environment version",
            "write azureml:<name>:<version> or azureml:<name>@latest"), at=(8, 1)),
    Mistake("registry without version", *_deployment(
            "environment:\n  conda_file: conda.yml\n",
            "environment: azureml://registries/azureml/environments/e\n", "environment",
            "'azureml://registries/azureml/environments/e' names no version",
            "append /versions/<version> or /labels/latest"), at=(8, 1)),
    Mistake("no model file", {"model.bin": None}, "green.yml", "model.path", "no such file: model.bin", PATH,
            at=(4, 3)),
    Mistake("no scoring script", {"src/score.py": None}, "green.yml", "code_configuration.scoring_script",
            "no such file: src/score.py", PATH, at=(7, 3)),
    Mistake("no conda file", {"conda.yml": None}, "green.yml", "environment.conda_file", "no such file: conda.yml",
            PATH, at=(9, 3)),
    Mistake("conda syntax", {"conda.yml": "a: [\n"}, "conda.yml", "",
            "YAML syntax error: expected the node content, but found '<stream end>'", BRACKETS, at=(2, 1)),
    Mistake("empty requests", {"requests.jsonl": "\n"}, "requests.jsonl", "", "holds no request",
            'write lines like {"request": {"data": [[1, 2]]}}'),
    Mistake("bad line", {"requests.jsonl": '{"request": 1}\n{"request": 2,}\n'}, "requests.jsonl", "",
            "no JSON: trailing comma at column 15", "write one JSON object on the line", at=(2, 0)),
    Mistake("line without request", {"requests.jsonl": '{"id": "a"}\n'}, "requests.jsonl", "request",
            "required, but not there", "add it", at=(1, 0)),
    Mistake("line with more", {"requests.jsonl": '{"request": 1, "anser": 2}\n'}, "requests.jsonl", "anser",
            "unknown key", SPELLING, at=(1, 0)),
    Mistake("request with NaN", {"requests.jsonl": '{"request": [NaN]}\n'}, "requests.jsonl", "request",
            "NaN or infinity is no JSON", "write null", at=(1, 0)),
]  # fmt: skip


@pytest.fixture(params=MISTAKES, ids=[mistake.name for mistake in MISTAKES])
def mistake(request: pytest.FixtureRequest, project_files: Path, monkeypatch: pytest.MonkeyPatch) -> Mistake:
    """Each mistake in its turn, made in the project."""
    return _make(request.param, project_files, monkeypatch)


@pytest.fixture(params=MISTAKES[::4], ids=[mistake.name for mistake in MISTAKES[::4]])
def some_mistake(request: pytest.FixtureRequest, project_files: Path, monkeypatch: pytest.MonkeyPatch) -> Mistake:
    """Every fourth of them, for what takes a process each."""
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
