"""The scoring script of MLflow models that come without one: run by the deployment's own Python, not by ours.

It takes and refuses what Azure ML's own script does. A request is `{"input_data": …, "params": …}`. inference-schema
casts `input_data` to the types of the model's input example or signature, whose columns come as a table (`columns`,
`index`, `data`); what has neither is passed on as arrays, or as a table where it is one.
"""

import inspect
import json
import logging
import os
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from inference_schema.parameter_types.abstract_parameter_type import AbstractParameterType
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.parameter_types.pandas_parameter_type import PandasParameterType
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
from inference_schema.schema_decorators import input_schema, output_schema
from mlflow.models import Model
from mlflow.pyfunc import load_model
from mlflow.types import DataType

log = logging.getLogger(__name__)

_PANDAS_READS_TEXT = int(pd.__version__.split(".")[0]) < 3
"""Azure's script passes JSON to pandas as it is. Where pandas no longer takes that, it does without the example, and
refuses tables for models that have no types."""


class Unchanged(AbstractParameterType):  # type: ignore[misc] # of the deployment's library
    """What is passed on as it came."""

    def __init__(self) -> None:
        super().__init__(None)

    def deserialize_input(self, input_data: Any) -> Any:
        """Return the input as it came."""
        return input_data

    def input_to_swagger(self) -> Any:
        """Return what the deployment's description says of it: nothing."""
        return {"type": "object", "example": {}}


def _read_table(text: str, orient: str) -> pd.DataFrame:
    if not _PANDAS_READS_TEXT:
        raise ValueError(f"Azure ML's script cannot read tables of JSON with pandas {pd.__version__}")
    return pd.read_json(StringIO(text), orient=orient, dtype=False)


def _example(folder: Path, description: Any) -> Any:
    """Return the model's input example; None where there is none that can be read."""
    saved = description.saved_input_example_info
    if not saved:
        return None
    try:
        example = json.loads((folder / saved["artifact_path"]).read_text())
        if saved["type"] == "dataframe":
            return _read_table(json.dumps(example), "split" if "columns" in example else "values")
        if saved["type"] != "ndarray":
            return example
        inputs = example["inputs"]
        named = isinstance(inputs, dict)
        return {name: np.asarray(values) for name, values in inputs.items()} if named else np.asarray(inputs)
    except Exception as error:  # noqa: BLE001 - whatever it is, the signature will do
        log.warning("the input example cannot be used, the signature is: %s", error)
        return None


def _sample(schema: Any) -> Any:
    """Return data of the types that a signature has."""
    if schema.is_tensor_spec():
        tensors = {tensor.name: _zeros(tensor) for tensor in schema.inputs}
        return tensors if schema.has_input_names() else next(iter(tensors.values()))
    columns = {column.name or number: column.type for number, column in enumerate(schema.inputs)}
    for name, kind in columns.items():
        if not isinstance(kind, DataType):
            raise TypeError(
                f"Azure ML serves no MLflow model without a scoring script whose signature has a column of the type"
                f" {kind!r} ({name!r}): write one, and deploy the model with code"
            )
    return pd.DataFrame(columns=list(columns)).astype({name: kind.to_pandas() for name, kind in columns.items()})


def _zeros(tensor: Any) -> Any:
    shape = tensor.shape
    return np.zeros((1, *shape[1:]) if shape and shape[0] == -1 else shape, dtype=tensor.type)


def _parameter_type(sample: Any, orient: str) -> Any:
    if isinstance(sample, np.ndarray):
        return NumpyParameterType(sample, enforce_shape=False)
    if isinstance(sample, pd.DataFrame):
        return PandasParameterType(sample, enforce_shape=False, orient=orient)
    if isinstance(sample, dict) and not _is_transformers:
        arrays = {name: NumpyParameterType(values, enforce_shape=False) for name, values in sample.items()}
        return StandardPythonParameterType(arrays)
    if isinstance(sample, (dict, list)) and _is_transformers:
        return StandardPythonParameterType(sample)
    return Unchanged()


def _input_type(folder: Path, description: Any) -> Any:
    example, signature = _example(folder, description), description.signature
    schema = signature.inputs if signature else None
    if schema is None or (schema.is_tensor_spec() and example is not None):
        return _parameter_type(example, "split")
    if _is_transformers and not schema.is_tensor_spec():  # text, or texts by name
        if schema.has_input_names():
            return _parameter_type(dict.fromkeys(schema.input_names(), ""), "split")
        if [column.type for column in schema.inputs] == [DataType.string]:
            return _parameter_type([""], "split")
    return _parameter_type(_sample(schema) if example is None else example, "split")


def _params_type(signature: Any) -> Any:
    params = getattr(signature, "params", None)
    defaults = {param.name: "" if param.default is None else param.default for param in params or ()}
    return StandardPythonParameterType(defaults) if defaults else Unchanged()


def _passed_on(value: Any) -> Any:
    """Return what a model without types gets."""
    if isinstance(value, str) and not _is_language:
        value = json.loads(value)
    if isinstance(value, dict) and "input_data" in value:
        value = value["input_data"]
    if _is_language and _is_text(value):
        return value
    if isinstance(value, list):
        if _is_language and all(isinstance(item, dict) for item in value):
            raise ValueError("a list of objects may have texts, and lists of texts, only")
        return np.asarray(value)
    if {"columns", "index", "data"} <= set(value):
        return _read_table(json.dumps(value), "split")
    return {name: np.asarray(values) for name, values in value.items()}


def _is_text(value: Any) -> bool:
    """Return whether it is a text, or texts in lists or by name."""
    if isinstance(value, list):
        return all(isinstance(item, str) for item in value) or all(
            isinstance(item, dict) and _is_text(item) for item in value
        )
    if isinstance(value, dict):
        texts = (item if isinstance(item, list) else [item] for item in value.values())
        return all(isinstance(text, str) for item in texts for text in item)
    return isinstance(value, str)


def _plain(value: Any) -> Any:
    """Return it as JSON has it, as far as it can be said."""
    if isinstance(value, pd.Series):
        value = pd.DataFrame(value)
    if isinstance(value, pd.DataFrame):
        return value.to_dict(orient="records")
    return value.tolist() if isinstance(value, np.ndarray) else value


def _collect(which: int, data: Any, context: Any = None) -> Any:
    """Let the data collector have the data, if it collects this; what it cannot take is an error in the log.

    Returns:
        What a request's answer is collected with.
    """
    if not collectors:
        return None
    try:
        return collectors[which].collect(pd.DataFrame(data) if which else data, context)
    except Exception:
        log.exception("%s cannot be collected", _COLLECTIONS[which])
        return None


def _predict(input_data: Any, params: Any = None) -> Any:
    """Return the model's predictions, as JSON can say them."""
    named = isinstance(input_data, dict) and input_data and isinstance(next(iter(input_data.values())), np.ndarray)
    typed = named or isinstance(input_data, (np.ndarray, pd.DataFrame))
    data = input_data if typed else _passed_on(input_data)
    context = _collect(0, data)
    takes_params = "params" in inspect.signature(model.predict).parameters
    result = model.predict(data, params=params) if takes_params else model.predict(data)
    _collect(1, result, context)
    return _plain(result)


def init() -> None:
    """Begin to collect, where the deployment has a data collector."""
    if "AZUREML_MDC_CONFIG_PATH" in os.environ:
        from azureml.ai.monitoring import Collector

        try:
            collectors.extend([Collector(name=name) for name in _COLLECTIONS])
        except Exception:  # only one of the two is enabled, or none
            log.exception("nothing of the model is collected")


_COLLECTIONS = ("model_inputs", "model_outputs")
collectors: Any = []

(_found, *_) = sorted(Path(os.environ["AZUREML_MODEL_DIR"]).rglob("MLmodel"))
_description = Model.load(str(_found.parent))
_is_transformers = "transformers" in _description.flavors
_is_language = not {"transformers", "langchain", "openai"}.isdisjoint(_description.flavors)
_outputs = _description.signature.outputs if _description.signature else None
model = load_model(str(_found.parent))
run = input_schema("input_data", _input_type(_found.parent, _description))(
    input_schema("params", _params_type(_description.signature), optional=True)(
        output_schema(_parameter_type(None if _outputs is None else _sample(_outputs), "records"))(_predict)
    )
)
