"""Conda files, as far as pip can give what they ask for."""

import pytest

from localazure.environments import BuildFailed, parse

SERVER = "azureml-inference-server-http"


def test_the_pip_part_is_taken_and_the_rest_is_named() -> None:
    """Nothing of the file is dropped in silence."""
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
          - pip:
              - scikit-learn==1.7.2
              - azureml_inference_server_http[x]==1.5.1
        """
    )
    assert wanted.python == "3.10"
    assert wanted.requirements == ("scikit-learn==1.7.2", "azureml_inference_server_http[x]==1.5.1")
    assert wanted.ignored == ("conda-forge::libpng", "python-dateutil", "numpy=1.26")


@pytest.mark.parametrize("text", [None, "", "name: x", "dependencies:", "dependencies:\n  - pip:\n"])
def test_the_server_is_added_where_it_is_missing(text: str | None) -> None:
    """As Azure's images bring it along."""
    assert parse(text).requirements == (SERVER,)


@pytest.mark.parametrize(
    ("entry", "version"),
    [("python", None), ("python=3.11", "3.11"), ("python>=3.9,<3.12", "3.9"), ("python ==3.12.1", "3.12")],
)
def test_python_versions(entry: str, version: str | None) -> None:
    """The minor version counts."""
    assert parse(f"dependencies:\n  - '{entry}'").python == version


@pytest.mark.parametrize("text", ["[", "- a\n- b", "just text"])
def test_what_is_no_conda_file_is_told(text: str) -> None:
    """As a failed build, which is what it becomes."""
    with pytest.raises(BuildFailed):
        parse(text)
