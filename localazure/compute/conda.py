"""Conda files: what they ask for, as far as pip can give it."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from localazure.arm.errors import BuildFailed
from localazure.compute import pip_lines
from localazure.compute.old_pins import HELD, older_than_numpy_2

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
    """`X.Y`, or a range such as `>=3.9,<3.12`, or several with `|` between them, if the file names a version."""
    requirements: tuple[str, ...]
    ignored: tuple[str, ...] = ()
    """Conda packages that pip cannot give, which are not installed."""
    constraints: tuple[str, ...] = ()
    """What holds for packages only if they are installed."""
    files: tuple[Path, ...] = ()
    """Files and folders that requirements lead to."""
    old: tuple[str, ...] = ()
    """The packages for whose sake numpy is held below 2."""

    @property
    def hint(self) -> str:
        """For the message of what fails with these packages; empty where it has all that the file asks for."""
        old = ", ".join(self.old)
        held = f" {HELD} is installed, because this was built before numpy 2: {old}." if old else ""
        left_out = f" Left out, because pip cannot give them: {', '.join(self.ignored)}." if self.ignored else ""
        return held + left_out


def parse(conda_file: str | dict[str, Any] | None, folder: Path | None = None) -> Wanted:
    """Read a conda file: its text, or what a client has already read; `folder` has the files that it may lead to.

    Returns:
        What it asks for.

    Raises:
        BuildFailed: It is not a conda file, or leads to files that are not there.
    """
    try:
        document = yaml.safe_load(conda_file) if isinstance(conda_file, str) else conda_file
    except yaml.YAMLError as error:
        raise BuildFailed(f"the conda file is not valid YAML: {error}") from error
    if document is not None and not isinstance(document, dict):
        raise BuildFailed("the conda file must be a mapping with the key 'dependencies'")
    entries = (document or {}).get("dependencies") or []
    lines = [str(line) for entry in entries if isinstance(entry, dict) for line in entry.get("pip") or []]
    pip = pip_lines.read([line.strip() for text in lines for line in text.splitlines()], folder)
    named = {pip_lines.distribution(line) for line in pip.requirements}
    python, requirements, ignored = None, [], []
    for entry in (str(entry) for entry in entries if not isinstance(entry, dict)):
        match = re.match(r"(?:[\w./-]+::)?([\w.-]+)\s*(.*)$", entry.strip())
        name, version = (match[1].lower(), match[2]) if match else ("", "")
        if name == "python":
            python = _python(entry, version)
        elif name in _SAME_ON_PYPI or name in _OTHERWISE_ON_PYPI:
            distribution = _OTHERWISE_ON_PYPI.get(name, name)
            if distribution not in named:  # the pip part has the last word
                requirements.append(distribution + _specifier(version))
        elif name not in ("pip", "setuptools", "wheel"):
            ignored.append(entry)
    requirements += pip.requirements
    old = older_than_numpy_2(requirements)
    if old:
        requirements.append(HELD)
    if "azureml-defaults" in named and "setuptools" not in named:
        requirements.append("setuptools<81")  # its gunicorn needs pkg_resources, which conda's Python had
    if SERVER_PACKAGE not in named:
        requirements.append(SERVER_PACKAGE)  # Azure's base images bring it along
    return Wanted(python, tuple(requirements), tuple(ignored), tuple(pip.constraints), tuple(pip.files), old)


def of_mlflow_model(folder: Path | None) -> Wanted:
    """Return what an MLflow model says that it needs: its conda file, or its requirements.

    Raises:
        BuildFailed: It has neither, or they lead to files that are not in the model.
    """
    descriptions = sorted(folder.rglob("MLmodel")) if folder else []
    if not descriptions:
        raise BuildFailed("the model folder has no MLmodel file")
    home = descriptions[0].parent
    if (home / "conda.yaml").is_file():
        return parse((home / "conda.yaml").read_text(errors="replace"), home)
    if not (home / "requirements.txt").is_file():
        raise BuildFailed("the MLflow model has neither a conda.yaml nor a requirements.txt")
    return parse({"dependencies": [{"pip": ["-r requirements.txt"]}]}, home)


def _python(entry: str, version: str) -> str | None:
    """Return which Python a conda file asks for: of a single version the minor counts; None where any will do."""
    parts = []
    for part in version.split("|"):
        single = re.match(r"\s*={0,2}\s*(\d+(?:\.\d+)?)(?:\.[\d.]*\*?)?(?:\s*=\S*|\s+\S+)?\s*$", part)
        parts.append(single[1] if single else part.replace(" ", ""))
    try:
        for part in parts:
            SpecifierSet(f"=={part}.*" if part[:1].isdigit() else part)
    except InvalidSpecifier as error:
        raise BuildFailed(f"the conda file's '{entry}' names no version: write it as python=3.10") from error
    return "|".join(parts) if "" not in parts else None


def _specifier(version: str) -> str:
    """Return a conda version as pip writes it: `=1.2` means what begins so, a second `=` begins what means nothing."""
    if match := re.match(r"=\s*([\d.]+[\w.]*)(?:\s*=.*)?$", version):
        return f"=={match[1]}.*"
    if match := re.match(r"(\d[\w.]*?)(\.\*)?(?:\s+\S+)?$", version):
        return f"=={match[1]}.*"
    return version.replace(" ", "")
