"""Images that are known to hold nothing but Python and the inference server."""

import pytest

from localazure.storage.inference_images import conda_of_image


@pytest.mark.parametrize(
    ("name", "python"),
    [
        ("minimal-py312-inference", "3.12"),
        ("mcr.microsoft.com/azureml/minimal-py312-inference:latest", "3.12"),
        ("mcr.microsoft.com/azureml/minimal-ubuntu22.04-py39-cpu-inference:20240101.v1", "3.9"),
        ("minimal-ubuntu20.04-py38-cpu-inference", "3.8"),
    ],
)
def test_a_minimal_image_is_python_and_the_server(name: str, python: str) -> None:
    """By its name, in the registry and as an environment."""
    assert conda_of_image(name) == {"dependencies": [f"python={python}"]}


@pytest.mark.parametrize(
    "name",
    ["", "None", "sklearn-1.5", "minimal", "minimal-py312-training", "minimal-ubuntu22.04-py39-cuda11-gpu-inference"],
)
def test_what_other_images_hold_is_not_known(name: str) -> None:
    """And not guessed."""
    assert conda_of_image(name) is None
