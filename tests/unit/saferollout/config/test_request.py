"""What an event asks for, and which files it may name."""

import json
from pathlib import Path
from typing import Any

import pytest

from saferollout.config.model_version import ModelVersion
from saferollout.config.request import (
    CONFIGS,
    RolloutRequest,
    check_place,
    find_config,
    read_event,
    read_request,
)
from saferollout.config.rollout import RolloutConfig
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


def test_a_request_overrides_what_it_may_and_nothing_else() -> None:
    """Each stage's question, live's size, and what follows where the endpoint is busy; the config's limits hold."""
    stages = [{"traffic": 10, "approval_timeout_s": 60}, {"traffic": 100}]
    config = RolloutConfig.model_validate({"endpoint": "e.yml", "deployment": "d.yml", "stages": stages})
    given = {"live.instance_count": 3, "stages.approval_timeout_s": 600, "when_busy": "queue"}

    changed = read_request({"overrides": given}).overrides.apply(config)

    assert changed.live.instance_count == 3
    assert [stage.approval_timeout_s for stage in changed.stages] == [600, 600]
    assert changed.when_busy == "queue"
    assert RolloutConfig.model_validate(changed.model_dump()) == changed
    assert [stage.model_copy(update={"approval_timeout_s": 0}) for stage in changed.stages] == [
        stage.model_copy(update={"approval_timeout_s": 0}) for stage in config.stages
    ]
    assert read_request({}).overrides.apply(config) == config


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({"workspace.name": "mine"}, "workspace.name"),
        ({"stages.approval": False}, "stages.approval"),
        ({"stages.judge.alpha": 0.5}, "stages.judge.alpha"),
        ({"live_instance_count": 2}, "live_instance_count"),
        ({"live.instance_count": 0}, "live.instance_count"),
        ({"live.instance_count": 51}, "live.instance_count"),
        ({"stages.approval_timeout_s": 0}, "stages.approval_timeout_s"),
        ({"when_busy": "supersede"}, "when_busy"),
    ],
)
def test_other_overrides_are_refused(given: dict[str, Any], key: str) -> None:
    """What makes a rollout less safe, or rolls somebody else's back, is the config's to say."""
    with pytest.raises(ConfigError) as caught:
        read_request({"overrides": given})
    assert [problem.key for problem in caught.value.problems] == [f"overrides.{key}"]


def test_every_mistake_of_a_request_is_named() -> None:
    """Not only the first one."""
    with pytest.raises(ConfigError) as caught:
        read_request({"config": 5, "by": "x" * 201, "request_id": "a b", "overrides": {"judge": 1}, "more": 1})
    keys = {problem.key for problem in caught.value.problems}
    assert keys == {"config", "by", "request_id", "overrides.judge", "more"}


def test_a_kept_request_is_read_again() -> None:
    """As a run keeps it while it waits for an answer."""
    request = read_request({"request_id": "org/repo/7@main", "overrides": {"live.instance_count": 3}})
    assert RolloutRequest.model_validate_json(request.model_dump_json()) == request


def test_who_asks_and_why_is_shown_as_it_is() -> None:
    """Nothing of it is taken for markdown; a request that says nothing shows nothing."""
    given = {"by": "<eve>", "why": "# new\ndata", "request_id": "job-1", "overrides": {"when_busy": "queue"}}
    shown = read_request(given).described()
    assert shown == "by &lt;eve&gt;; \\# new data; id `job-1`; with when_busy queue"
    assert read_request({}).described() == ""


def test_a_config_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is looked for where the worker keeps its configs; a path stays what it is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(CONFIGS, "one:two")
    for path in ("one/shop.yaml", "two/fraud.yml"):
        (tmp_path / path).parent.mkdir()
        (tmp_path / path).write_text("", encoding="utf-8")

    paths = [find_config(name) for name in ("shop", "fraud", "nowhere")]
    assert paths == ["one/shop.yaml", "two/fraud.yml", "one/nowhere.yaml"]
    for path in ("one/shop.yaml", "shop.yaml", "../shop", "a/b", ""):
        assert find_config(path) == path
    assert find_config("x" * 300) == f"one/{'x' * 300}.yaml"  # longer than a file's name may be: not there either
