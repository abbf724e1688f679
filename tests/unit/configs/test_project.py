"""The Azure ML files, the models and the recorded requests of configs/diabetes."""

import json
import logging
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import joblib
import numpy as np
import pytest
import yaml

DEPLOYMENTS = ["blue-deployment.yml", "green-deployment.yml"]
CANDIDATES = ["errors", "slow", "wrong", "broken", "crash", "late"]

# azure-ai-ml calls marshmallow in ways that marshmallow is going to change
azure_ml = pytest.mark.filterwarnings("ignore::marshmallow.warnings.Marshmallow4Warning")


def errors(score: ModuleType, requests: list[dict[str, Any]]) -> np.ndarray:
    """How far each answer is from the recorded one, in the order of the requests."""
    answers = [score.run(json.dumps(line["request"]))[0] for line in requests]
    distances: np.ndarray = np.abs(np.array(answers) - [line["answer"][0] for line in requests])
    return distances


@azure_ml
def test_azure_ml_loads_the_endpoint(project: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Azure ML's own client accepts endpoint.yml and has nothing to say about it."""
    from azure.ai.ml import load_online_endpoint

    with caplog.at_level(logging.WARNING):
        endpoint = load_online_endpoint(project / "endpoint.yml")

    assert (endpoint.name, endpoint.auth_mode) == ("diabetes", "key")
    assert caplog.messages == []


@azure_ml
@pytest.mark.parametrize("file", [*DEPLOYMENTS, *(f"candidates/{name}.yml" for name in CANDIDATES)])
def test_azure_ml_loads_the_deployments(project: Path, caplog: pytest.LogCaptureFixture, file: str) -> None:
    """Azure ML's own client accepts each deployment, silently, and every file that it points to is there."""
    from azure.ai.ml import load_online_deployment

    with caplog.at_level(logging.WARNING):
        deployment: Any = load_online_deployment(project / file)

    assert deployment.name == ("blue" if file.startswith("blue") else "green")
    assert deployment.endpoint_name == "diabetes"
    code = (project / file).parent / deployment.code_configuration.code
    assert (code / deployment.code_configuration.scoring_script).is_file()
    assert Path(deployment.model.path).is_file()
    assert caplog.messages == []


@pytest.mark.parametrize("name", CANDIDATES)
def test_a_bad_candidate_is_green_with_one_fault(project: Path, name: str) -> None:
    """A bad candidate differs from the good one in its scoring script and the fault that it names, in nothing else."""
    good = yaml.safe_load((project / "green-deployment.yml").read_text(encoding="utf-8"))
    bad = yaml.safe_load((project / "candidates" / f"{name}.yml").read_text(encoding="utf-8"))

    assert bad.pop("environment_variables") == {"FAULT": name}
    assert bad.pop("code_configuration") == {"code": "code", "scoring_script": "faulty_score.py"}
    del good["code_configuration"]
    good["model"]["path"] = f"../{good['model']['path']}"
    good["environment"]["conda_file"] = f"../{good['environment']['conda_file']}"
    assert bad == good


def test_the_environment_has_the_scikit_learn_that_wrote_the_models(project: Path) -> None:
    """scikit-learn promises to load a model only in the version that wrote it."""
    conda = yaml.safe_load((project / "conda.yml").read_text(encoding="utf-8"))

    assert f"scikit-learn=={metadata.version('scikit-learn')}" in conda["dependencies"][-1]["pip"]


def test_requests_are_held_out_rows_with_their_answers(requests: list[dict[str, Any]]) -> None:
    """Each line has an id of its own, one row of ten numbers, and the row's true answer in the answer's shape."""
    assert len({line["id"] for line in requests}) == len(requests) == 142
    assert {tuple(line) for line in requests} == {("id", "request", "answer")}
    assert np.array([line["request"]["data"] for line in requests]).shape == (142, 1, 10)
    assert np.array([line["answer"] for line in requests]).shape == (142, 1)


@pytest.mark.parametrize(
    ("version", "mean", "largest"), [("v1", 48.79, 157.45), ("v2", 45.29, 148.22)], ids=["v1", "v2"]
)
def test_committed_models_err_as_documented(
    score: Callable[[str], ModuleType], requests: list[dict[str, Any]], version: str, mean: float, largest: float
) -> None:
    """The models in the repository have the held-out errors from which the smoke test's tolerance was chosen."""
    size = errors(score(version), requests)

    assert (size.mean(), size.max()) == pytest.approx((mean, largest), abs=0.01)


def test_v2_is_better_than_v1(score: Callable[[str], ModuleType], requests: list[dict[str, Any]]) -> None:
    """Model v2 earns its rollout: its error is lower on rows that neither model was trained on."""
    assert errors(score("v2"), requests).mean() < 0.95 * errors(score("v1"), requests).mean()


def test_training_reproduces_what_is_committed(
    load: Callable[[str], ModuleType], project: Path, requests: list[dict[str, Any]], tmp_path: Path
) -> None:
    """train.py writes the committed requests byte for byte, and models that predict as the committed ones do."""
    load("train.py").train(tmp_path)

    assert (tmp_path / "requests.jsonl").read_bytes() == (project / "requests.jsonl").read_bytes()
    rows = np.array([line["request"]["data"][0] for line in requests])
    for version in ("v1", "v2"):
        model = Path("models", version, "model.joblib")
        committed, trained = joblib.load(project / model), joblib.load(tmp_path / model)
        assert trained.predict(rows) == pytest.approx(committed.predict(rows))
