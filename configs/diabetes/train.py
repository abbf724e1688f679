"""Train both versions of the model and write down the rows they have not seen.

`python configs/diabetes/train.py` writes models/v1, models/v2 and requests.jsonl; the same bytes of requests and the
same predictions every time. It needs scikit-learn and joblib in the versions of conda.yml.
"""

import json
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Lasso, LinearRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

HERE = Path(__file__).parent
TRAINING_ROWS = 300
SEED = 0

BMI, BLOOD_PRESSURE = 2, 3


def models() -> dict[str, Any]:
    return {
        # a line through two of the ten measurements
        "v1": make_pipeline(
            make_column_transformer(("passthrough", [BMI, BLOOD_PRESSURE])),
            LinearRegression(),
        ),
        # all ten, their squares and products; the lasso keeps the few that matter
        "v2": make_pipeline(
            StandardScaler(),
            PolynomialFeatures(degree=2, include_bias=False),
            StandardScaler(),
            Lasso(alpha=3),
        ),
    }


def train(folder: Path) -> dict[str, np.ndarray]:
    """Write the models and the requests into folder; return each version's errors on the held-out rows."""
    data = load_diabetes(scaled=False)  # years, kg/m², mm Hg: what a client would send
    training, held_out = train_test_split(np.arange(len(data.data)), train_size=TRAINING_ROWS, random_state=SEED)
    errors = {}
    for version, model in models().items():
        model.fit(data.data[training], data.target[training])
        errors[version] = model.predict(data.data[held_out]) - data.target[held_out]
        path = folder / "models" / version / "model.joblib"
        path.parent.mkdir(parents=True, exist_ok=True)
        joblib.dump(model, path)
    with (folder / "requests.jsonl").open("w", encoding="utf-8", newline="\n") as file:
        for row in held_out:
            line = {
                "id": f"row-{row}",
                "request": {"data": [data.data[row].tolist()]},
                "answer": [float(data.target[row])],
            }
            file.write(json.dumps(line) + "\n")
    return errors


def main() -> None:
    print("version  mean absolute error  root mean square  largest")
    for version, errors in train(HERE).items():
        size = np.abs(errors)
        print(f"{version:7}  {size.mean():19.1f}  {np.sqrt((size**2).mean()):16.1f}  {size.max():7.1f}")


if __name__ == "__main__":
    main()
