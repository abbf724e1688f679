"""Models and environments that Azure holds, as a deployment's YAML names them: by version, or by a label that moves."""

import re
from typing import NamedTuple

PREFIX = "azureml:"
LABELS = {"model": ("latest",), "environment": ("latest",)}
"""The labels that the SDK can resolve, by the key at which they may be used."""
_NAMED = re.compile(r"azureml:(?P<name>[A-Za-z0-9][\w.-]*)(?::[\w.-]+|@(?P<label>[\w.-]+))")
_IN_REGISTRY = re.compile(
    r"(?:azureml:)?(?P<asset>azureml://registries/(?P<registry>[^/]+)/(?:models|environments)/(?P<name>[^/]+))"
    r"/labels/(?P<label>[^/]+)",
    re.IGNORECASE,
)
_IN_REGISTRY_WITHOUT = re.compile(r"(?:azureml:)?azureml://registries/[^/]+/[^/]+/[^/]+/?", re.IGNORECASE)


class Label(NamedTuple):
    """A name whose version is the one that a label is on; without a registry it is the workspace's."""

    registry: str
    name: str
    label: str


def label_of(asset: str) -> Label | None:
    """The label by which an asset is named; None for one that is named by its version."""
    if found := _IN_REGISTRY.fullmatch(asset):
        return Label(found["registry"], found["name"], found["label"])
    found = _NAMED.fullmatch(asset)
    return Label("", found["name"], found["label"]) if found and found["label"] else None


def with_version(asset: str, version: str) -> str:
    """The asset with a version in the place of its label."""
    if found := _IN_REGISTRY.fullmatch(asset):
        return f"{found['asset']}/versions/{version}"
    return f"{asset.partition('@')[0]}:{version}"


def check(key: str, asset: str) -> None:
    """Check that a version can be found by the name at a key of the YAML.

    Raises:
        ValueError: It cannot be found; the message is "problem; remedy".
    """
    named = asset.removeprefix(PREFIX)
    if "/" not in named and ("@" in named or ":" not in named) and not _NAMED.fullmatch(asset):
        kind = {"model": "a model", "environment": "an environment"}.get(key, "a code")
        msg = f"{asset!r} is not {kind} version; write azureml:<name>:<version> or azureml:<name>@latest"
        raise ValueError(msg)
    if _IN_REGISTRY_WITHOUT.fullmatch(asset):
        msg = f"{asset!r} has no version; append /versions/<version> or /labels/latest"
        raise ValueError(msg)
    label = label_of(asset)
    if label and label.label not in LABELS.get(key, ()):
        msg = f"Azure ML's SDK does not know the label {label.label!r} here; write a version"
        raise ValueError(msg)


def short(asset: str) -> str:
    """An asset as people call it: `diabetes:2`, or `diabetes@latest`."""
    named = asset.removeprefix(PREFIX)
    for kind in ("/models/", "/environments/"):
        named = named.rpartition(kind)[2]
    return named.replace("/versions/", ":").replace("/labels/", "@")
