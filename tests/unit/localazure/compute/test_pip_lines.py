"""Lines that lead to files: of an environment, which has none beside it, and of an MLflow model, which has."""

from pathlib import Path

import pytest

from localazure.arm.errors import BuildFailed
from localazure.compute.conda import of_mlflow_model, parse

SERVER = "azureml-inference-server-http"


@pytest.mark.parametrize(
    ("line", "remedy"),
    [
        ("-r requirements.txt", "lines in its place"),
        ("-rrequirements.txt", "lines in its place"),
        ("--requirement=../requirements.txt", "lines in its place"),
        ("-c constraints.txt", "own lines"),
        ("--constraint constraints.txt", "own lines"),
        ("-e .", "code_configuration"),
        ("--editable=./package", "code_configuration"),
        ("-f wheels", "code_configuration"),
        ("--find-links /tmp/wheels", "code_configuration"),
        ("./package", "code_configuration"),
        ("wheels/package-1.0-py3-none-any.whl", "code_configuration"),
        ("package-1.0.tar.gz", "code_configuration"),
        ("package @ file:///tmp/package", "code_configuration"),
        ("file:package", "code_configuration"),
        ("-r file:///tmp/requirements.txt", "lines in its place"),
    ],
)
def test_a_conda_file_has_no_files_beside_it(line: str, remedy: str) -> None:
    """As on Azure, which gets the conda file alone: what leads to a file fails, with what to write instead."""
    with pytest.raises(BuildFailed) as failed:
        parse({"dependencies": ["python", {"pip": ["joblib", line]}]})
    assert f"'{line}'" in str(failed.value)
    assert remedy in str(failed.value)


def test_what_leads_elsewhere_is_pip_s() -> None:
    """Addresses, other options, and packages whatever their names."""
    lines = [
        "--extra-index-url https://example.org/simple",
        "--find-links https://example.org/wheels",
        "-r https://example.org/requirements.txt",
        "-e git+https://example.org/package.git#egg=package",
        "package @ https://example.org/package-1.0-py3-none-any.whl",
        "https://example.org/other.zip",
        "joblib>=1.2; python_version < '4'",
        "zip.lib[x]==1",
    ]
    assert parse({"dependencies": [{"pip": lines}]}).requirements == (*lines, SERVER)


def test_a_model_s_files_are_read(tmp_path: Path) -> None:
    """Requirements and constraints become lines, however deep; wheels and folders are found in the model."""
    (tmp_path / "MLmodel").touch()
    (tmp_path / "more").mkdir()
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / "own-1.0-py3-none-any.whl").touch()
    (tmp_path / "conda.yaml").write_text(
        "dependencies: [pip: [-r requirements.txt, -c constraints.txt, './wheels/own-1.0-py3-none-any.whl[x]']]"
    )
    (tmp_path / "requirements.txt").write_text(
        "# first\njoblib \\\n  >=1.2  # why\n-r more/deep.txt\n--find-links wheels\n-e more\n"
    )
    (tmp_path / "more" / "deep.txt").write_text("six\n-r ../requirements.txt\n")
    (tmp_path / "constraints.txt").write_text("joblib==1.4.2\n-r more/versions.txt\n")
    (tmp_path / "more" / "versions.txt").write_text("six==1.17\n")
    wanted = of_mlflow_model(tmp_path)
    wheel = tmp_path / "wheels" / "own-1.0-py3-none-any.whl"
    assert wanted.requirements == (
        *("joblib >=1.2", "six", f"--find-links {tmp_path}/wheels", f"{tmp_path}/more", f"{wheel}[x]"),
        SERVER,
    )
    assert wanted.constraints == ("joblib==1.4.2", "six==1.17")
    assert wanted.files == (tmp_path / "wheels", tmp_path / "more", wheel)


@pytest.mark.parametrize(
    "line",
    [
        "-r missing.txt",
        "-r .",
        "-c ../outside.txt",
        "/etc/passwd.whl",
        "-e file:.",
        pytest.param(f"./{'x' * 5000}", id="long"),
        pytest.param("./\0", id="NUL"),
    ],
)
def test_files_that_a_model_lacks(tmp_path: Path, line: str) -> None:
    """They fail, named; so does what lies outside of the model, though it be there."""
    (tmp_path / "outside.txt").touch()
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "MLmodel").touch()
    (tmp_path / "model" / "requirements.txt").write_text(line)
    with pytest.raises(BuildFailed, match=r"leads to nothing in the model's folder") as failed:
        of_mlflow_model(tmp_path / "model")
    assert f"'{line}'" in str(failed.value)
