"""Conda files, as far as pip can give what they ask for."""

from pathlib import Path

import pytest

from localazure.arm.errors import BuildFailed
from localazure.compute.conda import Wanted, of_mlflow_model, parse

SERVER = "azureml-inference-server-http"


def test_what_pip_can_give_is_taken_and_the_rest_is_named() -> None:
    """Conda packages that are the same on PyPI, and the pip part, which has the last word."""
    wanted = parse(
        """
        name: model
        channels: [conda-forge]
        dependencies:
          - python=3.10.4
          - pip=23
          - conda-forge::libpng
          - python-dateutil
          - numpy=1.26
          - scipy >=1.10, <2
          - scikit-learn=1.0
          - conda-forge/linux-64::pytorch=2.1.0=cpu_py311
          - pip:
              - scikit-learn==1.7.2
              - azureml_inference_server_http[x]==1.5.1
        """
    )
    assert wanted.python == "3.10"
    assert wanted.requirements == (
        "python-dateutil",
        "numpy==1.26.*",
        "scipy>=1.10,<2",
        "torch==2.1.0.*",
        "scikit-learn==1.7.2",
        "azureml_inference_server_http[x]==1.5.1",
    )
    assert wanted.ignored == ("conda-forge::libpng",)


@pytest.mark.parametrize("text", [None, "", "name: x", "dependencies:", "dependencies:\n  - pip:\n"])
def test_the_server_is_added_where_it_is_missing(text: str | None) -> None:
    """As Azure's images bring it along."""
    assert parse(text).requirements == (SERVER,)


@pytest.mark.parametrize(
    ("entry", "version"),
    [
        ("python", None),
        ("python=3.11", "3.11"),
        ("python ==3.12.1", "3.12"),
        ("conda-forge::python=3.9.18=h0755675_1_cpython", "3.9"),
        ("python 3.10.*", "3.10"),
        ("python 3.9.*|3.10.*", "3.9|3.10"),
        ("python >=3.9, <3.12", ">=3.9,<3.12"),
        ("python<3.11", "<3.11"),
    ],
)
def test_python_versions(entry: str, version: str | None) -> None:
    """Of a single version the minor counts; a range stays one."""
    assert parse(f"dependencies:\n  - '{entry}'").python == version


@pytest.mark.parametrize("text", ["[", "- a\n- b", "just text", "dependencies: [python=new]"])
def test_what_is_no_conda_file_is_reported(text: str) -> None:
    """As a failed build, which is what it becomes."""
    with pytest.raises(BuildFailed):
        parse(text)


def test_the_environment_of_microsoft_s_own_example() -> None:
    """Half of it is conda's, and its inference server is so old that it wants an old setuptools."""
    wanted = parse(
        """
        channels: [conda-forge]
        dependencies:
          - python=3.9
          - numpy=1.23.5
          - pip=23.0.1
          - scikit-learn=1.2.2
          - scipy=1.10.1
          - pip:
            - azureml-defaults==1.53.0
            - inference-schema[numpy-support]==1.5.1
            - joblib==1.2.0
        """
    )
    assert wanted == Wanted(
        python="3.9",
        requirements=(
            "numpy==1.23.5.*",
            "scikit-learn==1.2.2.*",
            "scipy==1.10.1.*",
            "azureml-defaults==1.53.0",
            "inference-schema[numpy-support]==1.5.1",
            "joblib==1.2.0",
            "setuptools<81",
            SERVER,
        ),
        ignored=(),
    )


def test_what_an_mlflow_model_needs(tmp_path: Path) -> None:
    """Its conda file, with what that refers to; or its requirements; or nothing, which is told."""
    model = tmp_path / "model"
    model.mkdir()
    with pytest.raises(BuildFailed, match="no MLmodel"):
        of_mlflow_model(tmp_path)
    (model / "MLmodel").touch()
    with pytest.raises(BuildFailed, match=r"neither a conda\.yaml nor a requirements\.txt"):
        of_mlflow_model(tmp_path)
    (model / "requirements.txt").write_text("mlflow-skinny==3.1\n\nnumpy\n")
    assert of_mlflow_model(tmp_path).requirements == ("mlflow-skinny==3.1", "numpy", SERVER)
    (model / "conda.yaml").write_text("dependencies: [python=3.12, pip: [mlflow==3.1, -r requirements.txt]]")
    assert of_mlflow_model(tmp_path).python == "3.12"
    assert of_mlflow_model(tmp_path).requirements == ("mlflow==3.1", "mlflow-skinny==3.1", "numpy", SERVER)
    (model / "conda.yaml").write_text("dependencies: [pip: [mlflow==3.1]]")
    assert of_mlflow_model(tmp_path).requirements == ("mlflow==3.1", SERVER)
