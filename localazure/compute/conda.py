"""Conda files: what they ask for, as far as pip can give it."""

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from localazure.arm.errors import BuildFailed

SERVER_PACKAGE = "azureml-inference-server-http"

_SAME_ON_PYPI = frozenset(
    """
    catboost cloudpickle cython dill fastapi flask gensim h5py holidays imbalanced-learn joblib
    jsonschema keras lightgbm matplotlib mlflow mlflow-skinny networkx nltk numba numpy onnx onnxruntime
    pandas pillow polars prophet protobuf psutil pyarrow pydantic python-dateutil pytz pyyaml requests
    scikit-image scikit-learn scipy seaborn sentencepiece shap spacy sqlalchemy statsmodels tensorflow
    tokenizers torchvision tqdm transformers ujson xgboost
    """.split()  # noqa: SIM905 - 50 lines as a list
)
"""Conda packages that are the same project on PyPI. That a name is there proves nothing."""

_OTHERWISE_ON_PYPI = {
    "pytorch": "torch",
    "pytorch-cpu": "torch",
    "opencv": "opencv-python-headless",
    "py-xgboost": "xgboost",
    "matplotlib-base": "matplotlib",
}


@dataclass(frozen=True)
class Wanted:
    """What a conda file asks for, as far as pip can give it."""

    python: str | None
    """`X.Y`, if the file names a version."""
    requirements: tuple[str, ...]
    ignored: tuple[str, ...]
    """Conda packages that pip cannot give, which are not installed."""

    @property
    def hint(self) -> str:
        """For the message of what fails with these packages; empty when none was left out."""
        return f" Left out, because pip cannot give them: {', '.join(self.ignored)}." if self.ignored else ""


def parse(conda_file: str | dict[str, Any] | None) -> Wanted:
    """Read a conda file: its text, or what a client has already read.

    Returns:
        What it asks for.

    Raises:
        BuildFailed: It is not a conda file.
    """
    try:
        document = yaml.safe_load(conda_file) if isinstance(conda_file, str) else conda_file
    except yaml.YAMLError as error:
        raise BuildFailed(f"the conda file is not valid YAML: {error}") from error
    if document is not None and not isinstance(document, dict):
        raise BuildFailed("the conda file must be a mapping with the key 'dependencies'")
    entries = (document or {}).get("dependencies") or []
    pip = [str(line) for entry in entries if isinstance(entry, dict) for line in entry.get("pip") or []]
    named = {_distribution(line) for line in pip}
    python, requirements, ignored = None, [], []
    for entry in (str(entry) for entry in entries if not isinstance(entry, dict)):
        match = re.match(r"(?:[\w./-]+::)?([\w.-]+)\s*(.*)$", entry.strip())
        name, version = (match[1].lower(), match[2]) if match else ("", "")
        if name == "python":
            found = re.search(r"\d+\.\d+", version)
            python = found[0] if found else None
        elif name in _SAME_ON_PYPI or name in _OTHERWISE_ON_PYPI:
            distribution = _OTHERWISE_ON_PYPI.get(name, name)
            if distribution not in named:  # the pip part has the last word
                requirements.append(distribution + _specifier(version))
        elif name not in ("pip", "setuptools", "wheel"):
            ignored.append(entry)
    requirements += pip
    if "azureml-defaults" in named and "setuptools" not in named:
        requirements.append("setuptools<81")  # its gunicorn needs pkg_resources, which conda's Python had
    if SERVER_PACKAGE not in named:
        requirements.append(SERVER_PACKAGE)  # Azure's base images bring it along
    return Wanted(python, tuple(requirements), tuple(ignored))


def of_mlflow_model(folder: Path | None) -> Wanted:
    """Return what an MLflow model says that it needs: its conda file, or its requirements.

    Raises:
        BuildFailed: It has neither.
    """
    descriptions = sorted(folder.rglob("MLmodel")) if folder else []
    if not descriptions:
        raise BuildFailed("the model folder has no MLmodel file")
    home = descriptions[0].parent
    file = home / "requirements.txt"
    lines = [line for line in file.read_text().splitlines() if line.strip()] if file.is_file() else []
    if (home / "conda.yaml").is_file():
        wanted = parse((home / "conda.yaml").read_text())
        kept = tuple(line for line in wanted.requirements if not line.startswith("-r"))
        if kept == wanted.requirements:
            return wanted
        return dataclasses.replace(wanted, requirements=(*kept, *lines))
    if not lines:
        raise BuildFailed("the MLflow model has neither a conda.yaml nor a requirements.txt")
    return parse({"dependencies": [{"pip": lines}]})


def _specifier(version: str) -> str:
    """Return a conda version as pip writes it: `=1.2` means what begins so, a second `=` begins what means nothing."""
    if match := re.match(r"=\s*([\d.]+[\w.]*)(?:\s*=.*)?$", version):
        return f"=={match[1]}.*"
    if match := re.match(r"(\d[\w.]*?)(\.\*)?(?:\s+\S+)?$", version):
        return f"=={match[1]}.*"
    return version.replace(" ", "")


def _distribution(requirement: str) -> str:
    match = re.match(r"\s*([A-Za-z0-9._-]+)", requirement)
    return re.sub(r"[-_.]+", "-", match[1]).lower() if match else ""
