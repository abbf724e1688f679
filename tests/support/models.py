"""Models that answer about as those of configs/diabetes do, and load without scikit-learn.

Its imports cost each instance more CPU time than all else that it does in a test. That the real models are served, the
demo shows (tests/acceptance/test_demo.py) and tests/unit/configs/test_scoring.py.
"""

from operator import methodcaller
from pathlib import Path
from types import SimpleNamespace

import numpy as np

COEFFICIENTS = {
    "v1": [0, 0, 4.46, 0.39, 0, 0, 0, 0, 0, 0],
    "v2": [0, -14.63, 7.12, 0, 0.28, 0, -1.39, 0, 0, 0],
}
"""Least squares on configs/diabetes/requests.jsonl: within 150 of each answer, far off with columns reversed."""


def write_model(version: str, directory: Path) -> Path:
    """Write the model's file, the same bytes each time; return its path."""
    import joblib  # most processes that import this module write no model

    path = directory / version / "model.joblib"
    path.parent.mkdir(exist_ok=True)
    joblib.dump(SimpleNamespace(predict=methodcaller("dot", np.array(COEFFICIENTS[version]))), path)
    return path
