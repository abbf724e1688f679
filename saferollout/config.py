"""The rollout's config: what a user writes in ``configs/rollout.yaml``, typed and checked."""

import itertools
import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field

from saferollout.judge_config import JudgeConfig
from saferollout.names import check_deployment_name
from saferollout.section import Section

MODEL_VERSION = re.compile(r"azureml:(?P<name>[A-Za-z0-9][\w.-]*)(?::(?P<version>[\w.-]+)|@(?P<label>[\w.-]+))")


class LeftCandidate(StrEnum):
    """What a rollback does with the candidate once it has no traffic."""

    KEEP = "keep"
    DELETE = "delete"


class WorkspaceConfig(Section):
    """The Azure Machine Learning workspace; literal values or ``${ENV}``."""

    subscription_id: str = Field("${AZURE_SUBSCRIPTION_ID}", min_length=1)
    resource_group: str = Field("${AZURE_RESOURCE_GROUP}", min_length=1)
    name: str = Field("${AZUREML_WORKSPACE_NAME}", min_length=1)
    operation_timeout_s: float = Field(
        3600,  # Azure names 8 to 20 minutes for a deployment; a large image or model takes longer
        gt=0,
        description="How long one operation of Azure may take before it is given up and the rollout goes back.",
    )


class LiveConfig(Section):
    """The live deployment during the rollout."""

    instance_count: int | None = Field(
        None,
        ge=1,
        le=50,
        description="Scale the live deployment up to this before anything else; default: as it is.",
    )


class CandidateConfig(Section):
    """The candidate's size."""

    instance_count: int | None = Field(
        None,
        ge=1,
        le=50,
        description="Let it take over with so many instances, even if live has more; default: as many as live has.",
    )


class SmokeTestConfig(Section):
    """The requests sent straight to the candidate while it has no traffic, and what their answers must be."""

    requests: Path | None = Field(
        None,
        description="JSON Lines of recorded requests; default: requests.jsonl beside the deployment's YAML.",
    )
    sample: int = Field(50, ge=1, description="Send at most this many, evenly spaced over the file.")
    max_failed: int = Field(0, ge=0, description="How many may be answered with an error.")
    max_latency_ms: float = Field(1000, gt=0, description="The 95th percentile must stay below this.")
    answer_schema: Path | None = Field(
        None, description="A JSON schema for each answer; default: the shape of the live deployment's answer."
    )
    tolerance: float = Field(
        1e-6, ge=0, description="How far a number may be from the file's expected answer (absolute)."
    )
    max_wrong: int | None = Field(
        None,
        ge=0,
        description="How many answers may miss the expected one; default: as many as the live deployment's.",
    )
    ignore: tuple[str, ...] = Field(
        (), description="Keys that differ at each call or version, e.g. request_id: left out of comparisons."
    )
    max_error_increase: float = Field(
        0.25, ge=0, description="The mean error on expected numbers may exceed the live one's by this share."
    )


class StageConfig(Section):
    """A traffic share for the candidate with what guards it."""

    traffic: int = Field(ge=1, le=100, description="The candidate's share, in percent.")
    approval: bool = Field(True, description="Ask a person before this share.")
    approval_timeout_s: float = Field(86400, ge=1, description="No answer by then counts as a rejection.")
    recheck_s: float = Field(
        10, ge=0, description="Test the candidate again and judge it so long, just before it gets its share."
    )
    judge: JudgeConfig = JudgeConfig()


class ShadowConfig(Section):
    """Copies of users' requests for the candidate before any user is on it; its answers to them are dropped."""

    mirror: int = Field(ge=1, le=50, description="How much of the users' traffic is copied, in percent.")
    judge: JudgeConfig = JudgeConfig()


class RollbackConfig(Section):
    """What a rollback leaves behind."""

    candidate: LeftCandidate = Field(
        LeftCandidate.KEEP, description="Keep the candidate at 0% to look into, or delete it."
    )


class RetireConfig(Section):
    """What becomes of the old deployment after the last stage."""

    keep_s: float = Field(0, ge=0, description="Keep it at 0% this long, for a quick way back; 0 deletes it at once.")


def _stages(value: tuple[StageConfig, ...]) -> tuple[StageConfig, ...]:
    shares = [stage.traffic for stage in value]
    if any(later <= earlier for earlier, later in itertools.pairwise(shares)):
        msg = f"traffic goes {shares}, but each stage must have more than the one before; sort them, e.g. 10, 100"
        raise ValueError(msg)
    if not shares or shares[-1] != 100:
        msg = f"traffic goes {shares}, but the last stage must be 100; add a stage with traffic: 100"
        raise ValueError(msg)
    return value


def _slot(name: str) -> str:
    if name != name.lower():
        msg = f"{name!r} has capitals, which the Azure ML SDK loses in a traffic rule; write {name.lower()!r}"
        raise ValueError(msg)
    return check_deployment_name(name)


Slot = Annotated[str, AfterValidator(_slot)]


def _two_slots(value: tuple[str, str]) -> tuple[str, str]:
    if value[0] == value[1]:
        msg = f"both are {value[0]!r}; name two different ones"
        raise ValueError(msg)
    return value


class RolloutConfig(Section):
    """One rollout: which endpoint, which candidate, and what must hold before it takes over."""

    workspace: WorkspaceConfig = WorkspaceConfig()
    endpoint: Path = Field(description="The endpoint's Azure ML YAML.")
    deployment: Path = Field(description="The candidate's Azure ML YAML; its name is the slot that is free.")
    slots: Annotated[tuple[Slot, Slot], AfterValidator(_two_slots)] = Field(
        ("blue", "green"), description="The two deployment names that alternate."
    )
    live: LiveConfig = LiveConfig()
    candidate: CandidateConfig = CandidateConfig()
    smoke_test: SmokeTestConfig = SmokeTestConfig()
    shadow: ShadowConfig | None = Field(None, description="Mirror traffic before the first stage; default: do not.")
    stages: Annotated[tuple[StageConfig, ...], AfterValidator(_stages)] = (
        StageConfig(traffic=10),
        StageConfig(traffic=100),
    )
    orchestrator_grace_s: float = Field(
        120,
        ge=0,
        description="Go back when Prefect's server was out of reach for this long; nothing goes forward without it.",
    )
    rollback: RollbackConfig = RollbackConfig()
    retire: RetireConfig = RetireConfig()


class ModelVersion(Section):
    """A registered model that replaces the one in the deployment's YAML."""

    name: str = Field(min_length=1, description="The registered model's name.")
    version: str = Field(min_length=1, description="Its version, or `latest`.")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``azureml:name:version`` or ``azureml:name@latest``; ValueError says what is wrong."""
        match = MODEL_VERSION.fullmatch(text)
        if match is None or (match["label"] or "latest") != "latest":
            msg = f"{text!r} is not a model version; write azureml:<name>:<version> or azureml:<name>@latest"
            raise ValueError(msg)
        return cls(name=match["name"], version=match["version"] or "latest")

    def __str__(self) -> str:
        return f"azureml:{self.name}@latest" if self.version == "latest" else f"azureml:{self.name}:{self.version}"
