"""A version of a model, as the workspace lists it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True)
class RegisteredModel:
    """What is known of it without its files."""

    name: str
    version: str
    created_at: datetime
    tags: Mapping[str, str] = field(default_factory=dict)
