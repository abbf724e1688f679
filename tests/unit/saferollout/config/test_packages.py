"""The packages of a conda file, and that nothing of it is shown that may be a secret."""

import json

import pytest

from saferollout.config.packages import ADDRESS, ANY, display_version, read_packages

CONDA = """
name: shop
channels: [conda-forge, https://conda.example/t/TOKEN-1/shop]
dependencies:
  - python=3.11
  - conda-forge::libgomp=13.2=h123_0
  - pip
  - xz >=5,<6
  - https://conda.example/t/TOKEN-4/shop::secret-name
  - pip:
      - numpy==1.26.4
      - Scikit_Learn[docs, alldeps]>=1.4,<2  # the version that wrote the models
      - pandas ; python_version < "3.12"
      - ours @ git+https://bob:TOKEN-2@git.example/ours.git
      - --extra-index-url https://bob:TOKEN-3@pypi.example/simple
      - |
        -r requirements.txt
        joblib==1.4.0
"""


def test_each_package_has_its_version() -> None:
    """Of conda and of pip, under the name that pip knows; of a package by address only that is shown."""
    found = read_packages(CONDA)

    assert {name: display_version(version) for name, version in found.versions.items()} == {
        "python": "3.11",
        "libgomp": "13.2=h123_0",
        "pip": ANY,
        "xz": ">=5,<6",
        "numpy": "1.26.4",
        "scikit-learn": "[alldeps,docs]<2,>=1.4",
        "pandas": '; python_version < "3.12"',
        "ours": ADDRESS,
        "joblib": "1.4.0",
    }
    assert found.others.total() == 5  # two channels, two options of pip, an address
    assert "TOKEN" not in "".join(name + display_version(version) for name, version in found.versions.items())


def test_azure_gives_the_file_as_json() -> None:
    """It turns the text that was registered into indented JSON; clients may have read that already."""
    content = {"dependencies": ["python=3.11", {"pip": ["numpy==2.1.0"]}]}
    wanted = {"python": "3.11", "numpy": "2.1.0"}

    assert read_packages(json.dumps(content, indent=2)).versions == wanted
    assert read_packages(content).versions == wanted
    assert read_packages(None).versions == {}


@pytest.mark.parametrize(
    "text", ["a: [", "- numpy", "dependencies: TOKEN", "x: " + "y" * 2**18, "a: &a [*a]"], ids=range(5)
)
def test_what_is_not_a_conda_file_is_said_without_its_words(text: str) -> None:
    """It may hold a secret."""
    with pytest.raises(ValueError, match="its conda file ") as caught:
        read_packages(text)
    assert "TOKEN" not in str(caught.value)
