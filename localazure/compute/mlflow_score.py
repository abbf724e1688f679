"""The scoring script of MLflow models that come without one: run by the deployment's own Python, not by ours.

Requests are `{"input_data": …}`, as Azure ML documents them: a table (`columns`, `index`, `data`), rows, or named
tensors; `params` beside it are passed on.
"""

import json
import os
from pathlib import Path
from typing import Any

import mlflow.pyfunc  # type: ignore[import-not-found] # the deployment's
import numpy as np
import pandas as pd  # type: ignore[import-untyped] # the deployment's

model: Any = None


def init() -> None:
    """Load the model that lies in the model folder."""
    global model
    (description, *_) = sorted(Path(os.environ["AZUREML_MODEL_DIR"]).rglob("MLmodel"))
    model = mlflow.pyfunc.load_model(str(description.parent))


def run(raw_data: str) -> Any:
    """Return the model's predictions, as JSON can say them.

    Raises:
        ValueError: The request has no `input_data`.
    """
    request = json.loads(raw_data)
    if not isinstance(request, dict) or "input_data" not in request:
        raise ValueError("Request must contain a top level key named 'input_data'")
    data = _input(request["input_data"], model.metadata.get_input_schema())
    params = request.get("params")
    return _plain(model.predict(data, params=params) if params else model.predict(data))


def _input(data: Any, schema: Any) -> Any:
    tensors = schema is not None and schema.is_tensor_spec()
    if isinstance(data, dict) and "data" in data:
        return _typed(pd.DataFrame(data["data"], columns=data.get("columns"), index=data.get("index")), schema)
    if isinstance(data, dict):
        arrays = {name: np.array(values) for name, values in data.items()}
        return arrays if tensors else _typed(pd.DataFrame(data), schema)
    if tensors or schema is None:
        return np.array(data)
    columns = None if data and isinstance(data[0], dict) else schema.input_names()
    return _typed(pd.DataFrame(data, columns=columns), schema)


def _typed(frame: pd.DataFrame, schema: Any) -> pd.DataFrame:
    """Return it with the columns' types as the model wants them: in JSON, 1 is an integer even where 1.0 is meant."""
    if schema is not None and schema.has_input_names():
        for column in schema.inputs:
            if column.name in frame and column.type.name in ("float", "double"):
                frame[column.name] = frame[column.name].astype(column.type.to_pandas())
    return frame


def _plain(value: Any) -> Any:
    if isinstance(value, pd.DataFrame):
        return json.loads(value.to_json(orient="records", date_format="iso"))
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value.tolist() if hasattr(value, "tolist") else value
