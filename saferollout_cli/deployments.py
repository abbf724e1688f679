"""The deployments of `prefect.yaml`, and in which of their settings those on a Prefect server differ."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import SCHEDULE_TYPES
from prefect.events import DeploymentTriggerTypes
from prefect.events.schemas.automations import AutomationCore
from prefect.exceptions import PrefectException
from prefect.flows import load_flow_from_entrypoint
from prefect.utilities.callables import parameter_schema
from prefect.utilities.templating import apply_values
from pydantic import TypeAdapter

from saferollout.config import yaml_file
from saferollout.domain.errors import ConfigError, Problem

TAG = "saferollout"
"""What each of the project's deployments is tagged with."""
_LIMIT = ("limit", "collision_strategy", "grace_period_seconds")
_TIMING = ("cron", "interval", "rrule", "timezone", "anchor_date", "day_or")


@dataclass(frozen=True)
class Deployment:
    """A deployment as `prefect.yaml` has it, and what it must be on a server for that."""

    name: str
    flow: str
    settings: dict[str, Any]
    """By what they are called in `prefect.yaml`."""
    schedules: list[dict[str, Any]]
    triggers: list[dict[str, Any]]

    @property
    def full_name(self) -> str:
        """The flow's name and its own."""
        return f"{self.flow}/{self.name}"

    def automations(self, deployment: DeploymentResponse) -> Iterator[AutomationCore]:
        """What its triggers are on the server, once it is there."""
        for number, given in enumerate(self.triggers, start=1):
            trigger = _TRIGGER.validate_python({"name": f"{self.name}__automation_{number}"} | given)
            trigger.set_deployment_id(deployment.id)
            yield trigger.as_automation()


_TRIGGER: TypeAdapter[Any] = TypeAdapter(DeploymentTriggerTypes)
_SCHEDULE: TypeAdapter[Any] = TypeAdapter(SCHEDULE_TYPES)


def read(content: dict[str, Any], path: Path) -> list[Deployment]:
    """The deployments in the `content` of the `prefect.yaml` at `path`.

    Raises:
        ConfigError: Prefect could not deploy what it says.
    """
    found = []
    for number, given in enumerate(content.get("deployments") or []):
        try:
            found.append(_read(given, content.get("pull") or []))
        except (AttributeError, KeyError, TypeError, ValueError, ImportError, OSError, PrefectException) as error:
            problem = f"is not a deployment: {type(error).__name__}: {error}".splitlines()[0]
            raise ConfigError(
                *yaml_file.with_lines([Problem(str(path), f"deployments[{number}]", problem, "correct it")])
            ) from None
    if not found:
        raise ConfigError(Problem(str(path), "deployments", "has none", "list the deployments of the flows"))
    return found


def _read(given: dict[str, Any], pull: list[Any]) -> Deployment:
    filled: Any = apply_values({"pull": pull} | given, dict(os.environ), remove_notset=False)
    flow: Any = load_flow_from_entrypoint(filled["entrypoint"])
    limit, pool = filled.get("concurrency_limit"), filled.get("work_pool", {})
    if not isinstance(limit, dict):
        limit = {"limit": limit}
    made = Deployment(
        name=filled["name"],
        flow=flow.name,
        settings={
            "entrypoint": filled["entrypoint"],
            "description": filled.get("description") or flow.description,
            "tags": sorted(filled.get("tags", [])),
            "parameters": filled.get("parameters", {}),
            "the flow's own parameters": parameter_schema(flow).model_dump(mode="json", exclude_unset=True),
            "pull": filled["pull"],
            "work_pool": {name: pool.get(name) for name in ("name", "work_queue_name")},
            "job_variables": pool.get("job_variables", {}),
            "concurrency_limit": {name: limit.get(name) for name in _LIMIT},
            "enforce_parameter_schema": filled.get("enforce_parameter_schema", True),
            "paused": bool(filled.get("paused")),
        },
        schedules=[_schedule(schedule) for schedule in filled.get("schedules", [])],
        triggers=filled.get("triggers", []),
    )
    for trigger in made.triggers:
        _TRIGGER.validate_python(trigger)
    return made


def _schedule(given: dict[str, Any]) -> dict[str, Any]:
    if not {"cron", "interval", "rrule"} & given.keys():
        msg = f"a schedule has neither cron nor interval nor rrule: {given}"
        raise ValueError(msg)
    timing = _SCHEDULE.validate_python({name: given[name] for name in _TIMING if name in given})
    plain: dict[str, Any] = timing.model_dump(mode="json", exclude_unset=True)
    return plain | {"active": given.get("active", True), "parameters": given.get("parameters", {})}


def differences(wanted: Deployment, there: DeploymentResponse) -> list[str]:
    """The names of the settings, schedules among them, in which the deployment on the server differs."""
    limit, options = there.global_concurrency_limit, there.concurrency_options
    shown = {
        "entrypoint": there.entrypoint,
        "description": there.description,
        "tags": sorted(there.tags),
        "parameters": there.parameters,
        "the flow's own parameters": there.parameter_openapi_schema,
        "pull": there.pull_steps or [],
        "work_pool": {"name": there.work_pool_name, "work_queue_name": there.work_queue_name},
        "job_variables": there.job_variables,
        "concurrency_limit": {
            "limit": limit.limit if limit and limit.active else None,
            "collision_strategy": options.collision_strategy.value if options else None,
            "grace_period_seconds": options.grace_period_seconds if options else None,
        },
        "enforce_parameter_schema": there.enforce_parameter_schema,
        "paused": there.paused,
    }
    found = [name for name, value in wanted.settings.items() if shown[name] != value]
    schedules = [
        schedule.schedule.model_dump(mode="json") | {"active": schedule.active, "parameters": schedule.parameters}
        for schedule in there.schedules
    ]
    same = len(schedules) == len(wanted.schedules) and all(
        any(schedule.items() <= candidate.items() for candidate in schedules) for schedule in wanted.schedules
    )
    return found if same else [*found, "schedules"]


async def missing_automations(client: PrefectClient, wanted: Deployment, there: DeploymentResponse) -> dict[str, bool]:
    """The names of the automations of its triggers that are not on the server once and as they must be.

    And whether there is one of that name.
    """
    related = await client.read_resource_related_automations(f"prefect.deployment.{there.id}")
    shown = [_plain(automation) for automation in related]
    names = {automation.name for automation in related}
    return {
        automation.name: automation.name in names
        for automation in wanted.automations(there)
        if shown.count(_plain(automation)) != 1
    }


def _plain(automation: AutomationCore) -> Any:
    return _without_ids(automation.model_dump(include={"name", "description", "enabled", "trigger", "actions"}))


def _without_ids(value: Any) -> Any:
    """The value without what a server numbers anew each time."""
    if isinstance(value, dict):
        return {name: _without_ids(part) for name, part in value.items() if name != "id"}
    return [_without_ids(part) for part in value] if isinstance(value, list) else value
