"""A registered model and its version, as people write them."""

import re
from typing import Any, Self

from pydantic import Field, model_validator

from saferollout.config.section import Section

ASSET_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]*"


ASSET_VERSION = r"[A-Za-z0-9_.-]+"


MODEL_VERSION = re.compile(
    rf"(?:azureml:|(?!azureml:))(?P<name>{ASSET_NAME})(?::(?P<version>{ASSET_VERSION})|@(?P<label>[\w.-]+))"
)


class ModelVersion(Section):
    """A registered model that replaces the one in the deployment's YAML."""

    name: str = Field(pattern=f"^{ASSET_NAME}$", max_length=255, description="The registered model's name.")
    version: str = Field(pattern=f"^{ASSET_VERSION}$", max_length=255, description="The model's version, or `latest`.")

    @model_validator(mode="before")
    @classmethod
    def _forms(cls, given: Any) -> Any:
        """Take `name:version`, with or without `azureml:`, and a version that is a number as well.

        Raises:
            ValueError: It is neither; the message is "problem; remedy".
        """
        if isinstance(given, str):
            return cls.parse(given).model_dump()
        if isinstance(given, dict) and type(given.get("version")) is int:
            return given | {"version": str(given["version"])}
        if not isinstance(given, dict | ModelVersion):
            msg = f"{str(given)[:60]!r} is not a model version; write azureml:<name>:<version> or azureml:<name>@latest"
            raise ValueError(msg)
        return given

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `azureml:name:version` or `azureml:name@latest`, or the same without `azureml:`.

        Raises:
            ValueError: It is neither; the message is "problem; remedy".
        """
        match = MODEL_VERSION.fullmatch(text)
        if match is None or (match["label"] or "latest") != "latest":
            msg = f"{text[:60]!r} is not a model version; write azureml:<name>:<version> or azureml:<name>@latest"
            raise ValueError(msg)
        return cls(name=match["name"], version=match["version"] or "latest")

    def __str__(self) -> str:
        return f"azureml:{self.name}@latest" if self.version == "latest" else f"azureml:{self.name}:{self.version}"
