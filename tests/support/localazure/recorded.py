"""Recorded answers as key trees, and how an answer here differs from one: the words of facts.json, for programs.

`=x` is a constant, null a null that was seen, `*` any value, `a|b` what was seen; {…} in a constant is any text.
"""

import json
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parents[3]
CLOUD = "https://management.azure.com"
GUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6}[1-9]|\.[1-9])?\+00:00"
_TRANSPORT = {"connection", "keep-alive"}

_HOLES = {
    "guid": GUID,
    "{region}": "local",
    "REGION": "LOCAL",
    "n": r"\d",
    "yyyyMMddTHHmmssZ": r"\d{8}T\d{6}Z",
    "seconds, 3 decimals": r"\d+\.\d{3}",
    "18-digit ticks": r"\d{18}",
    "decimal": r"\d+(\.\d+)?",
    "uuid": GUID,
    "workspaceId": GUID,
    "prefix": "o[ed]idp",
    "region": "local",
    "hex": "[0-9A-F]+",
}
_KINDS: dict[str, str] = {
    "guid": GUID,
    "32 hex": "[0-9a-f]{32}",
    "16 hex": "[0-9a-f]{16}",
    "str beginning with ?sv=": r"\?sv=.+",
    "str: JSON, indented by 2, whatever YAML was sent": r'\{\n  "[\s\S]*\}',
    "str: latest + 1": r"\d+",
    "latest (newest named) | '' (anonymous)": "latest|",
    "Development (named) | Logged (anonymous)": "Development|Logged",
    "time: …Z, 7 digits": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z",
}


@dataclass(frozen=True)
class Explanation:
    """A difference that is meant: which, of which operations, and why."""

    difference: str
    operations: str
    reason: str

    def covers(self, operation: str, difference: str) -> bool:
        """Whether it is about this difference."""
        wanted = self.operations.split("; ")
        return fnmatchcase(difference, self.difference) and any(fnmatchcase(operation, one) for one in wanted)


def explanations() -> list[Explanation]:
    """Those of docs/local-azure.md, the only place where they stand."""
    text = (ROOT / "docs" / "local-azure.md").read_text().split("\n## Recorded answers\n")[1].split("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| `")]
    return [Explanation(row[0].strip("`"), row[1].strip("`"), row[2]) for row in rows]


@dataclass(frozen=True)
class Comparison:
    """One fact against one answer."""

    fact: dict[str, Any]
    answer: httpx.Response
    here: str
    """The address of the management plane, which stands for Azure's."""

    def differences(self) -> list[str]:
        """In words, such as `header Vary is missing`; names of headers as the recording writes them."""
        found = []
        if self.answer.status_code != self.fact["status"]:
            found.append(f"status {self.answer.status_code}")
        return [*found, *self._headers(), *self._body()]

    def _headers(self) -> list[str]:
        recorded, found = self.fact["headers"], []
        shown = {name: value.replace(self.here, CLOUD) for name, value in self.answer.headers.items()}
        for name, wanted in recorded.items():
            value = shown.pop(name.lower(), None)
            if value is None:
                found.append(f"header {name} is missing")
            elif not self._header_fits(name, wanted, value):
                found.append(f"header {name}: {value}")
        return [*found, *(f"header {name} is extra" for name in shown if name not in _TRANSPORT)]

    def _header_fits(self, name: str, wanted: str, value: str) -> bool:
        if name.startswith("x-ms-ratelimit-"):
            return value.isdigit()
        if wanted.startswith("= x-ms-correlation-request-id"):
            return value == self.answer.headers["x-ms-correlation-request-id"]
        if wanted.startswith("as sent"):
            return value == self.answer.request.headers[name]
        if wanted.startswith("*"):
            return bool(value)
        return bool(re.fullmatch(self._pattern(wanted.partition("  (")[0]), value))

    def _body(self) -> list[str]:
        wanted = self.fact["body"]
        if wanted == "the model's":
            return []
        if wanted is None:
            return ["body is extra"] if self.answer.content else []
        if isinstance(wanted, str):
            return [] if self.answer.content == b"null" else [f"body is {self.answer.text[:40]}"]
        try:
            body = json.loads(self.answer.text.replace(self.here, CLOUD))
        except ValueError:
            return ["body is not JSON"]
        return self._tree("", wanted, body)

    def _tree(self, path: str, wanted: Any, value: Any) -> list[str]:
        if isinstance(wanted, dict):
            return self._object(path, wanted, value)
        if isinstance(wanted, list):
            if not isinstance(value, list):
                return [f"body {path} is no list"]
            if not wanted:
                return [f"body {path} is not empty"] if value else []
            # a list of one form, or one form for each of its members
            forms = wanted if len(wanted) == len(value) else wanted * len(value)
            return [one for form, member in zip(forms, value, strict=False) for one in self._tree(path, form, member)]
        return [] if self._fits(wanted, value) else [f"body {path}: {json.dumps(value)}"]

    def _object(self, path: str, wanted: dict[str, Any], value: Any) -> list[str]:
        if not isinstance(value, dict):
            return [f"body {path}: {json.dumps(value)}"]
        rest = next((form for key, form in wanted.items() if key in ("*", "{d}")), None)
        found = []
        for key, form in wanted.items():
            if key in ("*", "{d}"):
                continue
            if key not in value:
                found.append(f"body {path}.{key} is missing")
            else:
                found += self._tree(f"{path}.{key}", form, value[key])
        for key in value.keys() - wanted.keys():
            if rest is None:
                found.append(f"body {path}.{key} is extra")
            else:
                found += self._tree(f"{path}.{key}", rest, value[key])
        return found

    def _fits(self, wanted: Any, value: Any) -> bool:
        if not isinstance(wanted, str):
            return bool(value == wanted and type(value) is type(wanted))
        if wanted.startswith("="):
            constant = "local" if wanted == "=region" else wanted[1:].partition(" (though")[0]
            return bool(re.fullmatch(self._pattern(constant), value if isinstance(value, str) else json.dumps(value)))
        if not wanted:
            return bool(value == "")
        if wanted.startswith("the OLD traffic"):
            return bool(value == {})
        if wanted.startswith("bool"):
            return isinstance(value, bool)
        if wanted.startswith("int"):
            return isinstance(value, int) and not isinstance(value, bool)
        if wanted == "str|null":
            return value is None or isinstance(value, str)
        return isinstance(value, str) and self._text_fits(wanted, value)

    def _text_fits(self, wanted: str, value: str) -> bool:
        if pattern := _KINDS.get(wanted):
            return bool(re.fullmatch(pattern, value))
        if wanted.startswith("time:"):
            return bool(re.fullmatch(TIME, value))
        if wanted == "str: the resource's id in small letters":
            return value == value.lower() and "/onlineendpoints/" in value
        if wanted.startswith("str: ") and "{" in wanted:
            form = wanted[5:].partition("; ")[0].partition(" (resource")[0].replace("…", "{any}")
            return bool(re.fullmatch(self._pattern(form), value))
        if "|" in wanted:
            return value in wanted.split("|")
        return wanted.startswith("str") and bool(value)

    def _pattern(self, text: str) -> str:
        asked = self.answer.request.url
        holes = {
            "the resource's own path": re.escape(asked.path),
            "that of the request": re.escape(asked.params.get("api-version", "")),
            "that of THIS request, also in GETs and lists": re.escape(asked.params.get("api-version", "")),
            **_HOLES,
        }
        parts = re.split(r"\{([^}]*)\}", text)
        literals, names = parts[::2], parts[1::2]
        pattern = re.escape(literals[0])
        for name, literal in zip(names, literals[1:], strict=True):
            pattern += f"(?:{holes.get(name, '.+')})" + re.escape(literal)
        return pattern


def within(given: Any, seconds: float) -> bool:
    """Whether a duration of local Azure goes with a recorded one: in its bounds, or no more than twice off."""
    if not isinstance(given, str):
        return bool(given / 2 <= seconds <= given * 2)
    bounds = re.findall(r"([<>])=? ([\d.]+)", given)
    if not bounds:
        return False
    return all(seconds <= float(bound) if sign == "<" else seconds >= float(bound) for sign, bound in bounds)
