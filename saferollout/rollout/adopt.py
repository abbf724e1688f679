"""Adopt: the files with which an endpoint that exists, however it was made, can be rolled out."""

from typing import NamedTuple

from saferollout.azure.workspace import Workspace
from saferollout.azure.yaml_export import Written
from saferollout.config import yaml_text
from saferollout.config.names import check_deployment_name
from saferollout.config.rollout import RolloutConfig
from saferollout.domain.endpoint import EndpointState
from saferollout.domain.errors import Refused
from saferollout.rollout.begin import baseline_of
from saferollout.rollout.record import Record

CONFIG, ENDPOINT, DEPLOYMENT = "rollout.yaml", "endpoint.yml", "deployment.yml"


class Adopted(NamedTuple):
    """The files that let a rollout begin on an endpoint that is there already."""

    live: str
    files: dict[str, str]
    """Their texts by their names."""
    left_out: tuple[str, ...]
    """What the live deployment has, and Azure ML YAML cannot say."""
    is_collecting: bool
    """Whether the live deployment collects users' requests."""


def adopt(workspace: Workspace, endpoint: str) -> Adopted:
    """Write a config and the Azure ML YAML of what is deployed; nothing is changed.

    Raises:
        Missing: There is no such endpoint.
        Refused: It is being rolled out, no single deployment has all traffic, or live has no model.
    """
    state = workspace.settled(endpoint)
    record = Record.from_tags(state.tags)
    if record and record.unfinished:
        msg = f"rollout {record.rollout} of {endpoint} is unfinished; let it end, or roll it back, before"
        raise Refused(msg)
    live = baseline_of(state).live
    of_endpoint, deployments = workspace.written(endpoint)
    written = deployments[live]
    if "model" not in written.yaml:
        msg = f"deployment {live} has no registered model, which is what a rollout replaces; give it one"
        raise Refused(msg)
    by = f"Written by `saferollout init {endpoint}` from what was deployed."
    config = {"endpoint": ENDPOINT, "deployment": DEPLOYMENT} | _slots(state, live)
    files = {
        CONFIG: yaml_text.dump(config, by, "The workspace is the one that the environment names."),
        ENDPOINT: yaml_text.dump(of_endpoint, by),
        DEPLOYMENT: yaml_text.dump(written.yaml, by, *_warnings(written)),
    }
    collections = written.yaml.get("data_collector", {}).get("collections", {})
    is_collecting = collections.get("request", {}).get("enabled") == "true"
    return Adopted(live, files, written.left_out, is_collecting)


def _warnings(written: Written) -> list[str]:
    return [f"NOT in this file, as Azure ML YAML cannot say it: {each}" for each in written.left_out]


def _slots(state: EndpointState, live: str) -> dict[str, list[str]]:
    """The two names that candidates take in turn, where live's own or a name that is taken rule out the default."""
    default = RolloutConfig.model_fields["slots"].default
    others = {name.lower() for name in state.deployments} - {live.lower()}
    if live in default and others.isdisjoint(default):
        return {}
    free = [name for name in (*default, "candidate", "next") if name not in others | {live.lower()}]
    return {"slots": [live if _is_slot(live) else free.pop(), free[0]]}


def _is_slot(name: str) -> bool:
    try:
        return check_deployment_name(name) == name.lower()
    except ValueError:
        return False
