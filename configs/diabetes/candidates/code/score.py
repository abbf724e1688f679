"""Predict how far the disease progresses: Azure ML calls init() once and run() for every request."""

import json
import os
from pathlib import Path
from typing import Any

import joblib
import numpy as np

FEATURES = ("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6")

model: Any = None


def init() -> None:
    global model
    model = joblib.load(Path(os.environ["AZUREML_MODEL_DIR"]) / "model.joblib")


def run(raw_data: str) -> list[float]:
    return predict(parse(raw_data))


def parse(raw_data: str) -> np.ndarray:
    """The rows of a request `{"data": [[age, sex, …, s6], …]}`."""
    try:
        rows = np.array(json.loads(raw_data)["data"], dtype=float)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f'expected {{"data": [[number, …], …]}}: {error!r}') from error
    if rows.ndim != 2 or rows.shape[1] != len(FEATURES):
        raise ValueError(f"expected rows of {len(FEATURES)} numbers ({', '.join(FEATURES)}), got shape {rows.shape}")
    if not np.isfinite(rows).all():
        raise ValueError("data has a missing or infinite number")
    return rows


def predict(rows: np.ndarray) -> list[float]:
    answers: list[float] = model.predict(rows).tolist()
    return answers
