"""Conflicts: what a config asks for, and what it names does not give."""

from pathlib import Path

from saferollout.config import yaml_file
from saferollout.config.recorded_requests import RecordedRequest
from saferollout.config.rollout import Auto, RolloutConfig
from saferollout.domain.errors import Problem


def missing_truths(
    path: Path, config: RolloutConfig, requests_path: Path, requests: list[RecordedRequest]
) -> list[Problem]:
    """A comparison with true answers needs some."""
    if not requests or any(request.answer is not None for request in requests):
        return []
    problem = f"{yaml_file.display_path(requests_path)} holds no true answer"
    judges = {f"stages[{number}]": stage.judge for number, stage in enumerate(config.stages)}
    judges |= {"shadow": config.shadow.judge} if config.shadow else {}
    return [
        Problem(yaml_file.display_path(path), f"{key}.judge.quality", problem, "add answers there, or remove it")
        for key, judge in judges.items()
        if judge.quality
    ]


def impossible_auto(path: Path, config: RolloutConfig) -> list[Problem]:
    """A stage approves by itself where it would ask, on a verdict of the judge."""
    problems = {}
    if config.stages[0].auto is Auto.HEALTHY and config.shadow is None:
        problems[0] = "no judge has looked before the first share", "add a `shadow` stage, or remove it"
    for number, stage in enumerate(config.stages):
        if stage.auto is Auto.HEALTHY and not stage.approval:
            problems[number] = "the stage asks nobody", "remove it, or approval: false"
    file = yaml_file.display_path(path)
    return [Problem(file, f"stages[{number}].auto", *found) for number, found in problems.items()]


def impossible_mirror(path: Path, config: RolloutConfig, endpoint_path: Path) -> list[Problem]:
    """Azure mirrors traffic on managed endpoints only."""
    if config.shadow is None or "compute" not in yaml_file.read(endpoint_path):
        return []
    problem = f"{yaml_file.display_path(endpoint_path)} is a Kubernetes endpoint, which cannot mirror traffic"
    return [Problem(yaml_file.display_path(path), "shadow", problem, "remove it")]
