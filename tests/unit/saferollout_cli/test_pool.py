"""The work pool: what is made of a Job's manifest, and which manifests are refused."""

from pathlib import Path

import pytest
import yaml

from saferollout.domain.errors import ConfigError
from saferollout_cli.pool import COMMAND, PROCESS, read_pool

LEAST = """\
spec:
  template:
    spec:
      containers:
        - image: mine:1
"""


def read(path: Path, text: str) -> dict[str, object]:
    """The job template that a manifest's text makes."""
    path.write_text(text)
    return read_pool(path).template


def test_without_a_manifest_runs_are_processes() -> None:
    """What somebody has added to their environment stays, and nothing else."""
    assert read_pool(None) is PROCESS
    env = PROCESS.template["job_configuration"]["env"]
    there = {"job_configuration": {"env": {"AZURE_TENANT_ID": "a"} | dict.fromkeys(env, "0"), "command": "mine"}}
    assert PROCESS.template_beside(there) == PROCESS.template | {
        "job_configuration": {"env": {"AZURE_TENANT_ID": "a"} | env}
    }


def test_what_a_manifest_leaves_out_is_added(tmp_path: Path) -> None:
    """Its image is all that must be said; the template has no variable, and nothing that is on the server counts."""
    path = tmp_path / "job.yaml"
    template = read(path, LEAST)
    assert template == {
        "job_configuration": {
            "namespace": "default",
            "env": [{"name": "PREFECT_FLOWS_HEARTBEAT_FREQUENCY", "value": "30"}],
            "job_manifest": {
                "apiVersion": "batch/v1",
                "kind": "Job",
                "metadata": {"namespace": "default"},
                "spec": {
                    "backoffLimit": 0,
                    "template": {
                        "spec": {
                            "restartPolicy": "Never",
                            "parallelism": 1,
                            "completions": 1,
                            "containers": [{"name": "prefect-job", "image": "mine:1", "command": COMMAND, "args": []}],
                        }
                    },
                },
            },
        },
        "variables": {"type": "object", "properties": {}, "additionalProperties": False},
    }
    assert read_pool(path).template_beside({"job_configuration": {"env": {"PYTHONPATH": "mine"}}}) == template


def test_what_a_manifest_says_is_kept(tmp_path: Path) -> None:
    """All but its name, which Prefect gives; its environment is where no setting of a worker goes before it."""
    job = yaml.safe_load(LEAST)
    secret = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "saferollout", "key": "token"}}}
    (container,) = job["spec"]["template"]["spec"]["containers"]
    container |= {"env": [{"name": "PREFECT_LOGGING_LEVEL", "value": "DEBUG"}, secret], "resources": {"limits": {}}}
    job |= {"metadata": {"generateName": "rollout-", "namespace": "ml", "labels": {"team": "ml"}}}
    job["spec"] |= {"ttlSecondsAfterFinished": 60}
    configuration = read_pool(_written(tmp_path, job)).template["job_configuration"]
    manifest = configuration["job_manifest"]
    assert manifest["metadata"] == {"namespace": configuration["namespace"], "labels": {"team": "ml"}}
    assert configuration["env"][:2] == [{"name": "PREFECT_LOGGING_LEVEL", "value": "DEBUG"}, secret]
    assert manifest["spec"]["ttlSecondsAfterFinished"] == 60
    (kept,) = manifest["spec"]["template"]["spec"]["containers"]
    assert (kept["resources"], "env" in kept, configuration["namespace"]) == ({"limits": {}}, False, "ml")


def _written(folder: Path, job: object) -> Path:
    path = folder / "job.yaml"
    path.write_text(yaml.safe_dump(job))
    return path


@pytest.mark.parametrize(
    ("old", "new", "key", "problem"),
    [
        ("spec:\n  template", "kind: CronJob\nspec:\n  template", "kind", "is 'CronJob'; write 'Job'"),
        ("spec:\n  template", "spec:\n  backoffLimit: 6\n  template", "spec.backoffLimit", "is 6; write 0"),
        ("spec:\n  template", "spec:\n  completions: 2\n  template", "spec.completions", "is 2; write 1"),
        ("spec:\n  template", "spec:\n  parallelism: 2\n  template", "spec.parallelism", "is 2; write 1"),
        ("spec:\n  template", "spec:\n  parallelism: 0\n  template", "spec.parallelism", "is 0; write 1"),
        ("spec:\n  template", "spec:\n  suspend: true\n  template", "spec.suspend", "is True; write False"),
        (
            "spec:\n  template",
            "spec:\n  podFailurePolicy: {rules: []}\n  template",
            "spec.podFailurePolicy",
            "leave it out",
        ),
        ("spec:\n  template", "spec: 1\nother:\n  template", "spec", "is missing or not a mapping"),
        ("spec:\n  template", "metadata: 1\nspec:\n  template", "metadata", "is missing or not a mapping"),
        ("  template", "  job", "spec.template", "is missing or not a mapping"),
        ("mine:1", "'{{ prefect.variables.image }}'", "spec.template.spec.containers[0].image", "has a placeholder"),
        (
            "spec:\n  template",
            "metadata: {labels: {'{{a}}': b}}\nspec:\n  template",
            "metadata.labels",
            "a placeholder",
        ),
        ("image: mine:1", "name: prefect-job", "spec.template.spec.containers[0].image", "is missing or not text"),
        ("image: mine:1", "command: [sh]\n          image: a", "spec.template.spec.containers[0].command", "['sh']"),
        ("image: mine:1", "args: sh\n          image: a", "spec.template.spec.containers[0].args", "is 'sh'; write []"),
        (
            "- image: mine:1",
            "- image: a\n        - image: b",
            "spec.template.spec.containers",
            "a list of one container",
        ),
        ("- image: mine:1", "image: a", "spec.template.spec.containers", "a list of one container"),
        ("image: mine:1", "env: {A: b}\n          image: a", "spec.template.spec.containers[0].env", "is not a list"),
        (
            "image: mine:1",
            "env: [{name: A, value: 1}]\n          image: a",
            "spec.template.spec.containers[0].env[0]",
            "put numbers and true into quotes",
        ),
        (
            "image: mine:1",
            "env: [{name: PREFECT_FLOWS_HEARTBEAT_FREQUENCY, value: '90'}]\n          image: a",
            "spec.template.spec.containers[0].env[0]",
            "which setup sets itself",
        ),
    ],
)
def test_what_would_not_run_as_it_must_is_refused(tmp_path: Path, old: str, new: str, key: str, problem: str) -> None:
    """Each mistake is named with its file, its line and its key."""
    path = tmp_path / "job.yaml"
    assert old in LEAST
    with pytest.raises(ConfigError) as raised:
        read(path, LEAST.replace(old, new))
    (found,) = raised.value.problems
    assert (found.key, found.file) == (key, str(path))
    assert problem in str(found)
    assert found.line
