"""The config's defaults, and the words for a model's version."""

import json
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
import yaml
from pydantic import ValidationError

from saferollout.config.judge import ComparisonName, ComparisonsConfig, JudgeConfig, WhenUndecided
from saferollout.config.model_version import ModelVersion
from saferollout.config.rollout import LeftCandidate, RolloutConfig
from saferollout.gates.judging import settings_of
from saferollout.judge import Judge
from saferollout.judge.judge import COMPARISONS

CONFIGS = Path(__file__).parents[4] / "configs"
SHORTEST = {"endpoint": "endpoint.yml", "deployment": "green.yml"}


def test_two_keys_are_a_config() -> None:
    """The defaults are a rollout in two approved stages that keeps a failed candidate and deletes the old one."""
    config = RolloutConfig.model_validate(SHORTEST)

    assert [(stage.traffic, stage.approval) for stage in config.stages] == [(10, True), (100, True)]
    assert {stage.judge.when_undecided for stage in config.stages} == {WhenUndecided.ASK}
    assert config.slots == ("blue", "green")
    assert config.live.instance_count is None
    assert config.rollback.candidate is LeftCandidate.KEEP
    assert config.retire.keep_s == 0


@pytest.mark.parametrize("shares", [[100], [1, 100], [10, 50, 100]])
def test_stages_ascend_to_100(shares: list[int]) -> None:
    """Any number of stages, as long as each has more traffic and the last has all."""
    config = RolloutConfig.model_validate(SHORTEST | {"stages": [{"traffic": share} for share in shares]})

    assert [stage.traffic for stage in config.stages] == shares


def test_the_shortest_watch_may_be_the_longest() -> None:
    """A fixed time is a minimum that equals the maximum."""
    assert JudgeConfig(min_duration_s=60, max_duration_s=60).max_duration_s == 60


def test_a_config_does_not_change_under_way() -> None:
    """What was checked is what runs."""
    config = RolloutConfig.model_validate(SHORTEST)

    with pytest.raises(ValidationError, match="frozen"):
        config.endpoint = Path("other.yml")  # type: ignore[misc]  # it is frozen


def test_a_config_survives_json() -> None:
    """A config goes through Prefect's parameters and back."""
    config = RolloutConfig.model_validate(SHORTEST | {"retire": {"keep_s": 60}})

    assert RolloutConfig.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.name)
def test_the_configs_in_the_repository_fit_the_schema(path: Path) -> None:
    """An editor with the published schema finds nothing wrong with the published configs."""
    schema = json.loads((CONFIGS / "rollout.schema.json").read_text(encoding="utf-8"))

    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(yaml.safe_load(path.read_text(encoding="utf-8")), schema)


@pytest.mark.parametrize(
    "mistake", [{"endpiont": "x"}, {"stages": [{"traffic": 101}]}, {"slots": ["blue"]}, {"live": {"instances": 2}}]
)
def test_the_schema_finds_mistakes(mistake: dict[str, Any]) -> None:
    """An editor marks what the command would refuse."""
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(SHORTEST | mistake, RolloutConfig.model_json_schema())


@pytest.mark.parametrize(
    ("text", "name", "version"),
    [
        ("azureml:diabetes:2", "diabetes", "2"),
        ("azureml:diabetes@latest", "diabetes", "latest"),
        ("azureml:my-model_v1.2:2024.01", "my-model_v1.2", "2024.01"),
    ],
)
def test_a_model_version_reads_and_writes_azures_form(text: str, name: str, version: str) -> None:
    """The text of a model version is what the user wrote."""
    model = ModelVersion.parse(text)

    assert (model.name, model.version) == (name, version)
    assert str(model) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "diabetes",
        "diabetes:",
        "azureml:",
        "azureml:diabetes",
        "azureml:diabetes:",
        "azureml:diabetes@",
        "azureml:diabetes@stable",
        "azureml::2",
        "azureml:-d:2",
        "azureml:d:2:3",
        "azureml:d:2\n",
        " azureml:d:2",
    ],
)
def test_what_is_no_model_version_is_refused(text: str) -> None:
    """The message repeats the text and shows both forms."""
    with pytest.raises(ValueError, match="is not a model version; write azureml:<name>:<version> or") as caught:
        ModelVersion.parse(text)

    assert str(caught.value).startswith(repr(text))


def test_the_judge_takes_the_names_of_the_config() -> None:
    """What the config says of comparisons reaches the judge as it is written, but for how answers are read."""
    config = JudgeConfig.model_validate(
        {
            "error_rate_slo": 0.02,
            "latency": {"slo_ms": 800, "warm_up": 5},
            "prediction_drift": {"kind": "json", "path": "a", "scale": 2, "ignore": ["id"], "tolerance": 0.1},
            "output_drift": {"path": "a", "labels": ["x", True, 3]},
            "quality": {"kind": "labels", "margin": 0.03},
        }
    )

    assert config.comparisons() == {
        "error_rate_slo": 0.02,
        "latency": {"slack": 0.25, "slack_ms": 25, "slo_ms": 800, "warm_up": 5},
        "prediction_drift": {"tolerance": 0.1},
        "output_drift": {"labels": ["x", True, 3], "borders": []},
        "quality": {"margin": 0.03},
    }
    assert JudgeConfig(latency=None).comparisons() == {}
    assert list(Judge(settings_of(config, [50.0])).comparisons) == ["error_rate", *get_args(ComparisonName)]


def test_a_comparison_has_one_name_from_the_config_to_its_file() -> None:
    """The config's keys switch on the judge's comparisons, each of which lies in a file of its name."""
    names = [kind.name for kind in COMPARISONS]

    assert list(ComparisonsConfig.model_fields) == list(
        dict.fromkeys(kind.section for kind in COMPARISONS if kind.section)
    )
    assert [kind.__module__ for kind in COMPARISONS] == [f"saferollout.judge.comparisons.{name}" for name in names]
    assert names == ["error_rate", *get_args(ComparisonName)]
