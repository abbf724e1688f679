"""The work pool: as what a run is started, a process or a Kubernetes Job, and that no run chooses any of it."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saferollout.config import yaml_file
from saferollout.domain.errors import ConfigError, Problem

ENV = {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}
"""What every run gets: in seconds, how often it shows that it lives. Prefect knows none below 30."""
KUBERNETES = "kubernetes"
LOCKED = {"type": "object", "properties": {}, "additionalProperties": False}
"""There is no job variable, and the server refuses all others."""
COMMAND = ["tini", "--", "prefect", "flow-run", "execute"]
"""What a Job runs. A container's first process must heed what asks it to end: tini does, and Python not at once."""
_POD = "spec.template.spec"
_CONTAINERS = f"{_POD}.containers"
_FIRST = f"{_CONTAINERS}[0]"
_FIXED: dict[str, Any] = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "spec.backoffLimit": 0,
    "spec.completions": 1,
    "spec.parallelism": 1,
    "spec.suspend": False,
    f"{_POD}.restartPolicy": "Never",
    f"{_FIRST}.command": COMMAND,
    f"{_FIRST}.args": [],
    f"{_FIRST}.name": "prefect-job",
}
"""What a Job must have: a run is one pod, and none is started a second time: Prefect and the guard begin again."""


@dataclass(frozen=True)
class Pool:
    """What the work pool must be on the server."""

    type: str
    template: dict[str, Any]
    mistake: str
    """What is wrong where there is another template, in words."""

    def template_beside(self, there: dict[str, Any]) -> dict[str, Any]:
        """The job template as it must be, where `there` is the one on the server.

        What somebody has added to the environment of processes stays; what Jobs get is in their manifest alone.
        """
        if self.type != PROCESS.type:
            return self.template
        env = there.get("job_configuration", {}).get("env")
        return self.template | {"job_configuration": {"env": (env if isinstance(env, dict) else {}) | ENV}}


PROCESS = Pool(
    "process",
    {"job_configuration": {"env": ENV}, "variables": LOCKED},
    "it lets runs choose their command or environment, or does not set all of it",
)


def read_pool(manifest: Path | None) -> Pool:
    """The work pool whose runs are processes, or Kubernetes Jobs of the `manifest`.

    Raises:
        ConfigError: The file is not the manifest of such a Job.
    """
    if manifest is None:
        return PROCESS
    job = yaml_file.read(manifest)
    problems = list(_problems(job))
    if problems:
        file = yaml_file.display_path(manifest)
        raise ConfigError(*yaml_file.with_lines([Problem(file, *problem) for problem in problems]))
    template = {"job_configuration": _configuration(job), "variables": LOCKED}
    return Pool(KUBERNETES, template, f"it is not what {manifest.name} makes it")


def _problems(job: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """What keeps it from being such a manifest: key, problem and remedy."""
    for key in ("metadata", "spec", "spec.template", _POD):
        if not isinstance(_get(job, key, {} if key == "metadata" else None), dict):
            yield key, "is missing or not a mapping", "write `key: value` lines under it"
            return
    containers = _get(job, _CONTAINERS)
    if not (isinstance(containers, list) and len(containers) == 1 and isinstance(containers[0], dict)):
        remedy = "list the one that a run is; what goes beside it are initContainers with restartPolicy: Always"
        yield _CONTAINERS, "is not a list of one container", remedy
        return
    if not isinstance(image := containers[0].get("image"), str) or not image:
        yield f"{_FIRST}.image", "is missing or not text", "name the image that is built from deploy/Dockerfile"
    for key, value in _FIXED.items():
        if (given := _get(job, key, value)) != value:
            yield key, f"is {given!r}", f"write {value!r}, or leave it out"
    if _get(job, "spec.podFailurePolicy") is not None:
        yield "spec.podFailurePolicy", "may have Kubernetes start a second pod in spite of backoffLimit", "leave it out"
    yield from _env_problems(containers[0].get("env", []))
    for key, text in _texts(job):
        if "{{" in text:
            problem = "has a placeholder, which Prefect would fill in with what its API can change"
            yield key, problem, "write the value itself, or take it from a Secret or a ConfigMap"


def _env_problems(env: Any) -> Iterator[tuple[str, str, str]]:
    if not isinstance(env, list):
        yield f"{_FIRST}.env", "is not a list", "write entries with a name and a value"
        return
    for number, entry in enumerate(env):
        value = entry.get("value", "") if isinstance(entry, dict) else None
        if not (isinstance(entry, dict) and isinstance(entry.get("name"), str) and isinstance(value, str)):
            yield f"{_FIRST}.env[{number}]", "is not a name with a text as value", "put numbers and true into quotes"
        elif entry["name"] in ENV:
            yield f"{_FIRST}.env[{number}]", f"sets {entry['name']}, which setup sets itself", "leave it out"


def _configuration(job: dict[str, Any]) -> dict[str, Any]:
    """What Prefect makes each Job of.

    The environment is a list, and not in the manifest: as a mapping it would take what a run brings along, and what
    the manifest has gives way to the worker's own settings.
    """
    manifest = copy.deepcopy(job)
    metadata, spec = manifest.setdefault("metadata", {}), manifest["spec"]
    for name in ("name", "generateName"):
        metadata.pop(name, None)  # Prefect names it as the run
    spec["backoffLimit"] = 0
    pod = spec["template"]["spec"]
    # Prefect insists on these two here, where Kubernetes does not know and so ignores them
    pod |= {"restartPolicy": "Never", "parallelism": 1, "completions": 1}
    (container,) = pod["containers"]
    env = [*container.pop("env", []), *({"name": name, "value": value} for name, value in ENV.items())]
    container |= {"name": "prefect-job", "command": COMMAND, "args": []}
    manifest |= {"apiVersion": "batch/v1", "kind": "Job"}
    return {"namespace": metadata.setdefault("namespace", "default"), "env": env, "job_manifest": manifest}


def _get(job: Any, key: str, default: Any = None) -> Any:
    """The value at the key, such as `spec.template`; the default where nothing does."""
    for part in key.replace("[0]", ".0").split("."):
        if isinstance(job, list):
            job = job[int(part)]
        elif isinstance(job, dict) and part in job:
            job = job[part]
        else:
            return default
    return job


def _texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Each text in it, names of keys too, with where it is."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _texts(name, key)
            yield from _texts(part, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list):
        for number, part in enumerate(value):
            yield from _texts(part, f"{key}[{number}]")
    elif isinstance(value, str):
        yield key, value
