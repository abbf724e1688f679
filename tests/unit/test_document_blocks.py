"""What README.md and docs/ give to copy: blocks are run by tests, configs are valid, commands and options exist."""

import functools
import io
import re
from typing import Any

import pytest
from ruamel.yaml import YAML
from typer.core import TyperGroup
from typer.main import get_command

from localazure import cli
from saferollout.config import notify, yaml_file
from saferollout.config.rollout import RolloutConfig
from saferollout_cli.commands import app
from tests.support.documents import DOCUMENTS, REPOSITORY, RUN_BY, blocks

BLOCKS = [block for document in DOCUMENTS for block in blocks(document)]
CONFIGS = [block for block in BLOCKS if block.language == "yaml"]
GROUPS = {"saferollout": app, "localazure": cli.app}
WORKSPACE = {"subscription_id": "s", "resource_group": "g", "name": "w"}


def written_commands() -> list[tuple[str, str]]:
    """Every command of ours in backticks or after a `$`, with its document."""
    found = []
    for document in DOCUMENTS:
        text = (REPOSITORY / document).read_text(encoding="utf-8")
        inline = re.findall(r"`((?:saferollout|localazure)\s[^`]+)`", text)
        lines = re.findall(r"^\$ ((?:saferollout|localazure) [^#\n]+)", text, flags=re.MULTILINE)
        found += [(document, " ".join(command.split())) for command in (*inline, *lines)]
    return found


def test_every_block_is_run() -> None:
    """Configs are checked here, pictures are only looked at, and every other block has its test."""
    to_run = {(block.document, block.heading, block.language) for block in BLOCKS}
    assert {key for key in to_run if key[2] not in ("yaml", "mermaid", "")} == set(RUN_BY)


def test_blocks_without_a_language_are_pictures() -> None:
    """So a block that is to be copied cannot hide among them."""
    plain = [block for block in BLOCKS if not block.language]
    assert {block.document for block in plain} == {"docs/architecture.md"}
    assert all("│" in block.text or "─▶" in block.text for block in plain)


@pytest.mark.parametrize("key", RUN_BY, ids=" ".join)
def test_the_tests_that_run_blocks_are_there(key: tuple[str, str, str]) -> None:
    """They are named by file and function."""
    named = RUN_BY[key]
    for name in (named,) if isinstance(named, str) else named:
        file, _, function = name.partition("::")
        assert f"def {function}(" in (REPOSITORY / "tests" / file).read_text(encoding="utf-8")


@pytest.mark.parametrize("block", CONFIGS, ids=lambda block: f"{block.document} {block.text.split()[0]}")
def test_configs_are_valid(block: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With every source that may stand in the place of another: those are commented out."""
    monkeypatch.setenv("AZURE_LOG_ANALYTICS_WORKSPACE_ID", "00000000-0000-0000-0000-000000000001")
    RolloutConfig.model_validate(config_with(parse(block.text)))
    whole = parse(re.sub(r"^( *)# (  |- )", r"\1\2", block.text, flags=re.MULTILINE))
    for source in whole.get("judge", {}).get("sources", []):
        RolloutConfig.model_validate(config_with({"judge": {"sources": [source]}}))


def parse(text: str) -> dict[str, Any]:
    """The YAML in a block."""
    content: dict[str, Any] = YAML(typ="safe").load(io.StringIO(text))
    return content


def config_with(part: dict[str, Any]) -> dict[str, Any]:
    """A whole config: the two keys that it needs, a workspace, and 100% as the last stage."""
    whole = {"endpoint": "endpoint.yml", "deployment": "green.yml", "workspace": WORKSPACE} | part
    if "judge" in whole:  # a section of a stage
        whole["stages"] = [{"traffic": 10, "judge": whole.pop("judge")}]
    if "stages" in whole and whole["stages"][-1]["traffic"] != 100:
        whole["stages"] = [*whole["stages"], {"traffic": 100}]
    filled, problems = yaml_file.fill_in(REPOSITORY / "README.md", whole, notify.SECTION)
    assert not problems
    return filled


@functools.cache
def commands_of(program: str) -> TyperGroup:
    """A program with its commands."""
    group = get_command(GROUPS[program])
    assert isinstance(group, TyperGroup)
    return group


def test_commands_are_found() -> None:
    """The test below would pass on nothing."""
    assert len(written_commands()) > 25


@pytest.mark.parametrize(("document", "command"), sorted(set(written_commands())))
def test_commands_and_their_options_exist(document: str, command: str) -> None:
    """A renamed command or option is renamed in the documents, too."""
    program, name, *rest = command.split()
    if name.startswith("-"):
        assert name == "--help"
        return
    group = commands_of(program)
    assert name in group.commands, document
    known = {option for parameter in group.commands[name].params for option in parameter.opts}
    assert {re.sub(r"[\]=].*", "", word).strip("[") for word in rest if word.strip("[").startswith("-")} <= known
