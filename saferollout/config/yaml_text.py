"""YAML that is written for people, and that every reader takes alike: the SDK's of YAML 1.1 and ours of 1.2."""

import io
import re
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

_PLAIN = re.compile(r"[A-Za-z_/$][\w./@-]*(:[\w./@-]+)*", re.ASCII)
_NOT_TEXT = frozenset({"true", "false", "yes", "no", "on", "off", "y", "n", "null"})
"""What one of the readers takes for something else."""


def dump(content: dict[str, Any], *comments: str) -> str:
    """Return YAML with comments above it; all text that could be read as anything else is in quotes."""
    yaml = YAML()
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.width = 2**20
    stream = io.StringIO()
    yaml.dump(_quoted(content), stream)
    return "".join(f"# {' '.join(comment.split())}\n" for comment in comments) + stream.getvalue()


def _quoted(value: Any) -> Any:
    if isinstance(value, dict):
        return {_quoted(key): _quoted(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_quoted(item) for item in value]
    if isinstance(value, str) and not (_PLAIN.fullmatch(value) and value.lower() not in _NOT_TEXT):
        return DoubleQuotedScalarString(value)
    return value
