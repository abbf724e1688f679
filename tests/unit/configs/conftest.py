"""The example project as the tests see it."""

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PROJECT = Path(__file__).parents[3] / "configs" / "diabetes"


@pytest.fixture
def project() -> Path:
    """The folder of the example project."""
    return PROJECT


@pytest.fixture
def requests() -> list[dict[str, Any]]:
    """The held-out rows, as committed."""
    return [json.loads(line) for line in (PROJECT / "requests.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Import one of the project's scripts by its path, as the scoring server does, and forget it afterwards."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # the folders of code are what gets uploaded

    def load(path: str) -> ModuleType:
        file = PROJECT / path
        spec = importlib.util.spec_from_file_location(file.stem, file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, file.stem, module)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def score(load: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """The scoring script with the model of a version loaded."""

    def score(version: str) -> ModuleType:
        monkeypatch.setenv("AZUREML_MODEL_DIR", str(PROJECT / "models" / version))
        module = load("onlinescoring/score.py")
        module.init()
        return module

    return score
