"""A part of the config."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of the config; a key it does not know is an error, not a silence."""

    model_config = ConfigDict(extra="forbid", frozen=True)
