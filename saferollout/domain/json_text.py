"""JSON text within JSON: what a script that returns `json.dumps(…)` sends, as the server encodes it once more."""

import json
from typing import Any

_TIMES = 2  # a script that calls json.dumps on what pandas' to_json has returned


def read_json_text(value: Any) -> Any:
    """The object or list that a text holds as JSON, encoded once or twice; every other value as it is.

    A text that holds no object or list stays a text: the label `"3"` is not a number.
    """
    read = value
    for _ in range(_TIMES):
        if not isinstance(read, str):
            break
        try:
            read = json.loads(read)
        except (ValueError, RecursionError):
            return value
    return read if isinstance(read, dict | list) else value


def comparable(value: Any, ignore: tuple[str, ...] = ()) -> Any:
    """A JSON value with all JSON text in it read, and without the keys to ignore, wherever they are."""
    value = read_json_text(value)
    if isinstance(value, dict):
        return {key: comparable(item, ignore) for key, item in value.items() if key not in ignore}
    if isinstance(value, list):
        return [comparable(item, ignore) for item in value]
    return value
