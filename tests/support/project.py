"""What tests of a project share: its problems, and edits of its files."""

from pathlib import Path
from typing import Any

import pytest

from saferollout.config import project
from saferollout.config.model_version import ModelVersion
from saferollout.domain.errors import ConfigError, Problem

LATEST = ModelVersion(name="diabetes", version="latest")


PINNED = ModelVersion(name="diabetes", version="3")


def problems(config: str = "rollout.yaml", **arguments: Any) -> list[Problem]:
    """The problems with which a project is refused."""
    with pytest.raises(ConfigError) as caught:
        project.load(config, **arguments)
    return list(caught.value.problems)


def edit(path: Path, old: str, new: str) -> None:
    """Replace a text that is in the file."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
