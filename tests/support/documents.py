"""The blocks of README.md and docs/, and a fresh shell that runs commands as they are written there."""

import os
import re
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import uv
from markdown_it import MarkdownIt

from localazure.core import leash

REPOSITORY = Path(__file__).parents[2]
DOCUMENTS = ["README.md", *sorted(f"docs/{path.name}" for path in (REPOSITORY / "docs").glob("*.md"))]
NETWORK = re.compile(r"(?i)(uv|pip|ssl|all|https?|no)_\w+|pythonpath|\w+_ca_bundle")
"""How this machine reaches package indexes: all that a fresh shell takes over."""

RUN_BY = {
    ("README.md", "Safe Rollout", "console"): "acceptance/test_documents.py::test_the_first_ten_minutes",
    ("README.md", "Your own project, in ten minutes", "console"): (
        "acceptance/test_documents.py::test_the_first_ten_minutes"
    ),
    ("README.md", "Adopt an endpoint that exists, in five minutes", "console"): (
        "integration/localazure/test_adopt.py::test_an_endpoint_is_adopted"
    ),
    ("docs/requests.md", "A line", "json"): (
        "unit/saferollout/config/test_body_files.py::test_the_lines_of_the_documentation_are_requests"
    ),
    ("README.md", "Point it at a real workspace", "console"): (
        "acceptance/test_documents.py::test_the_first_ten_minutes",
        "acceptance/test_documents.py::test_the_commands_with_prefect",
        "acceptance/test_rollout.py::test_candidate_is_promoted_without_a_failed_request",
    ),
    ("README.md", "Point it at a real workspace", "python"): (
        "acceptance/test_documents.py::test_the_commands_with_prefect"
    ),
    (
        "README.md",
        "Without the repository",
        "console",
    ): "integration/test_wheel.py::test_the_wheel_is_all_that_is_needed",
    ("docs/local-azure.md", "Start it", "console"): (
        "integration/localazure/test_documents.py::test_a_fresh_shell_starts_it_and_uses_it",
        "integration/localazure/clients/test_azure_cli.py::test_az_login_with_a_service_principal",
    ),
    ("docs/local-azure.md", "Start it", "python"): (
        "integration/localazure/test_documents.py::test_tests_start_one_of_their_own"
    ),
    ("docs/local-azure.md", "Faults", "python"): (
        "integration/localazure/test_documents.py::test_faults_strike_as_written"
    ),
    ("docs/local-azure.md", "Metrics and logs", "python"): (
        "integration/localazure/test_documents.py::test_metrics_and_logs_are_queried_as_written"
    ),
}
"""The tests that run the blocks of a language below a heading; YAML is checked by `unit/test_document_blocks.py`."""


@dataclass(frozen=True)
class Block:
    """A fenced block, and the heading that it is below."""

    document: str
    heading: str
    language: str
    text: str


@dataclass(frozen=True)
class Command:
    """What stands behind a `$`, with its heredoc, and the exit code that its comment states."""

    text: str
    exit_code: int = 0


def blocks(document: str) -> list[Block]:
    """Return the document's blocks, in order."""
    found, heading = [], ""
    tokens = MarkdownIt().parse((REPOSITORY / document).read_text(encoding="utf-8"))
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        if token.type == "heading_open" and following:
            heading = following.content
        elif token.type == "fence":
            found.append(Block(document, heading, token.info, token.content))
    return found


def texts(document: str, heading: str, language: str) -> list[str]:
    """Return the blocks of a language below a heading; there is one at least."""
    wanted = (document, heading, language)
    found = [block.text for block in blocks(document) if (block.document, block.heading, block.language) == wanted]
    assert found, f"no block of {language} below {heading!r} in {document}"
    return found


def commands(document: str, heading: str) -> list[Command]:
    """Return the commands of the console blocks below a heading."""
    text = "".join(texts(document, heading, "console"))
    assert text.startswith("$ "), "a console block begins with a command"
    found = re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]
    codes = (re.search(r"#.*exit code (\d)", command) for command in found)
    return [Command(command.strip(), int(code[1]) if code else 0) for command, code in zip(found, codes, strict=True)]


def run_in_shell(
    asked: list[Command], directory: Path, *, instead: Mapping[str, str], env: dict[str, str] | None = None
) -> str:
    """Run commands in a fresh shell from the top of the repository; return what they print.

    `instead` maps what cannot be run as it is written to what the test runs in its place. Each command must end with
    its exit code; what it left in the background ends with the shell, and the shell with this process.
    """
    # with job control, as in a terminal: without it what is in the background ignores SIGINT, by which a worker ends.
    # The last first, for a worker ends only while its server answers
    script = ["set -m", "trap 'for job in $(jobs -p | tac); do kill $job; wait $job; done' EXIT"]
    unused = set(instead)
    for command in asked:
        text = command.text
        for written, replacement in instead.items():
            if written in text:
                unused.discard(written)
                text = text.replace(written, replacement)
        script += [f"echo {shlex.quote(f'$ {text}')}", text]
        script += [f"code=$?; [ $code = {command.exit_code} ] || {{ echo exit code $code; exit 99; }}"]
    assert not unused, f"no longer in the document: {unused}"
    path, home = directory / "script.sh", directory / "home"
    path.write_text("\n".join(script) + "\n")
    home.mkdir(exist_ok=True)
    network = {name: value for name, value in os.environ.items() if NETWORK.fullmatch(name)}
    cache = subprocess.run([uv.find_uv_bin(), "cache", "dir"], stdout=subprocess.PIPE, text=True, check=True).stdout
    network["UV_CACHE_DIR"] = cache.strip()  # the new home has none
    fresh = {"HOME": str(home), "PATH": os.environ["PATH"]} | network | (env or {})
    held, holding = os.pipe()  # closed by whatever ends this process, too
    try:
        done = subprocess.run(
            leash.command("bash", "--noprofile", "--norc", str(path)),
            cwd=REPOSITORY,
            env=fresh,
            stdin=held,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
    finally:
        os.close(held)
        os.close(holding)
    assert done.returncode == 0, done.stdout
    return done.stdout
