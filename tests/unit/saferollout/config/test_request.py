"""What an event asks for, and which files it may name."""

import json
from pathlib import Path
from typing import Any

import pytest

from saferollout.config.request import CONFIGS, check_place, read_event
from saferollout.config.rollout import ModelVersion
from saferollout.domain.errors import ConfigError


@pytest.mark.parametrize(
    ("model", "written"),
    [
        (None, None),
        ({"name": "m", "version": "2"}, "azureml:m:2"),
        ({"name": "m", "version": 2}, "azureml:m:2"),
        ({"name": "m", "version": "latest"}, "azureml:m@latest"),
        ("azureml:m:2", "azureml:m:2"),
        ("m:2", "azureml:m:2"),
        ("azureml:m@latest", "azureml:m@latest"),
    ],
)
def test_a_model_has_several_forms(model: Any, written: str | None) -> None:
    """A version is a text or a number, and a model is named as on the command line, too."""
    found = read_event(json.dumps({"config": "configs/x.yaml", "model": model}))

    assert (found.config, found.model and str(found.model)) == ("configs/x.yaml", written)


def test_an_event_needs_to_say_nothing() -> None:
    """The config has a default, the model is the config's."""
    found = read_event("{}")

    assert (found.config, found.model) == ("configs/rollout.yaml", None)


@pytest.mark.parametrize(
    ("payload", "key"),
    [
        ("", ""),
        ('{"config": "configs/roll', ""),
        ("[" * 100_000, ""),
        ("[]", ""),
        ("null", ""),
        ('{"config": 5}', "config"),
        ('{"config": null}', "config"),
        ('{"config": ""}', "config"),
        ('{"modle": "azureml:m:2"}', "modle"),
        *[
            (json.dumps({"model": model}), "model")
            for model in (5, ["a"], "m", "azureml:m", "azureml:m@prod", "azureml:größe:1", "azureml:../x:1")
        ],
        ('{"model": {"name": "m"}}', "model.version"),
        ('{"model": {"name": "m", "version": 2.5}}', "model.version"),
        *[
            (json.dumps({"model": {"name": "m", "version": version}}), "model.version")
            for version in (True, None, "1/2", "1\n", "", "é", "9" * 300)
        ],
        *[
            (json.dumps({"model": {"name": name, "version": "1"}}), "model.name")
            for name in ("a/b", "../a", "a?b", "a b", "-a", "", "größe", "a\n", "a" * 300)
        ],
        ('{"model": {"name": "m", "version": "1", "more": 1}}', "model.more"),
    ],
)
def test_what_does_not_fit_is_reported(payload: str, key: str) -> None:
    """One problem with its key, whatever is sent."""
    with pytest.raises(ConfigError) as caught:
        read_event(payload)

    (problem,) = caught.value.problems
    assert (problem.file, problem.key) == ("event", key)
    assert problem.remedy
    assert len(str(problem)) < 400


@pytest.mark.parametrize("name", ["a/b", "größe", "a\n"])
def test_a_model_obeys_one_pattern_everywhere(name: str) -> None:
    """On the command line, in an event and in a form."""
    with pytest.raises(ValueError, match="is not a model version"):
        ModelVersion.parse(f"azureml:{name}:1")
    with pytest.raises(ValueError, match="name"):
        ModelVersion(name=name, version="1")
    assert ModelVersion.model_json_schema()["properties"]["name"]["pattern"]


@pytest.mark.parametrize("listed", [None, "configs", "elsewhere:configs:"])
def test_only_a_workers_own_configs_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listed: str | None
) -> None:
    """By default those below `configs`; a link that leads out, or a way up, leads to nothing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(CONFIGS, raising=False)
    if listed:
        monkeypatch.setenv(CONFIGS, listed)
    (tmp_path / "configs" / "a").mkdir(parents=True)
    (tmp_path / "secret.json").write_text('{"key": "s3cret"}', encoding="utf-8")
    (tmp_path / "configs" / "link").symlink_to(tmp_path / "secret.json")
    (tmp_path / "configs" / "circle").symlink_to("circle")

    for path in ("configs/r.yaml", "configs/a/../r.yaml", str(tmp_path / "configs" / "a" / "r.yaml")):
        check_place("config", path)
    for path in ("secret.json", "configs/../secret.json", "configs/link", "configs/circle", "/etc/passwd", "a\0b", ""):
        with pytest.raises(ConfigError, match="where this worker keeps its configs") as caught:
            check_place("config", path)
        assert "s3cret" not in str(caught.value)
