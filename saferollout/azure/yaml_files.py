"""Azure ML's own YAML, as its SDK reads it; what the SDK does not accept is reported like any other mistake.

The SDK is imported only when it is asked: the command line looks at everything else before.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from azure.core.exceptions import AzureError
from marshmallow import ValidationError

from saferollout.azure.reason import reason_of
from saferollout.config.yaml_file import display_path, key_of, with_lines
from saferollout.domain.errors import ConfigError, Problem
from saferollout.uploads import import_sdk


def load_endpoint(path: Path) -> Any:
    """Return the SDK's endpoint entity of an Azure ML YAML.

    Raises:
        ConfigError: The SDK does not accept it.
    """
    import_sdk()
    from azure.ai.ml import load_online_endpoint

    with _readable(path):
        return load_online_endpoint(path)


def load_deployment(path: Path, *, name: str, endpoint: str, assets: Mapping[str, Any]) -> Any:
    """Return the SDK's deployment entity of an Azure ML YAML, under another name.

    The registered `assets` take the place of what the YAML says.

    Raises:
        ConfigError: The SDK does not accept it.
    """
    import_sdk()
    from azure.ai.ml import load_online_deployment

    override: list[dict[str, Any]] = [{"name": name}, {"endpoint_name": endpoint}]
    override += [{kind: asset} for kind, asset in assets.items()]
    with _readable(path):
        return load_online_deployment(path, params_override=override)


@contextmanager
def _readable(path: Path) -> Iterator[None]:

    try:
        yield
    except ValidationError as error:
        raise ConfigError(*with_lines(_problems(path, str(error)))) from None
    except (AzureError, ValueError, TypeError, AttributeError, LookupError, OSError) as error:
        raise ConfigError(
            Problem(display_path(path), "", f"the Azure ML SDK does not accept it: {reason_of(error)}", "correct it")
        ) from None


def _problems(path: Path, text: str) -> list[Problem]:
    """The SDK's complaints, which it writes as JSON by key amid much advice."""
    complaints, _ = json.JSONDecoder().raw_decode(text[text.index("{") :])
    return [
        Problem(display_path(path), key, f"the Azure ML SDK says: {' '.join(said.split()).rstrip('.:')}", "correct it")
        for key, said in _first_of_each(complaints, [])
    ]


def _first_of_each(complaints: Any, location: list[str | int]) -> Iterator[tuple[str, str]]:
    """Yield each key with what is said of it first; of alternatives that all failed only the first."""
    if isinstance(complaints, dict):
        for name, inner in complaints.items():
            yield from _first_of_each(inner, location if name == "_schema" else [*location, name])
    elif isinstance(complaints, list):
        yield from _first_of_each(complaints[0], location)
    else:
        yield key_of(location), str(complaints)
