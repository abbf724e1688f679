"""The rollout's config: what a user writes in `configs/rollout.yaml`, typed and checked."""

import itertools
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from saferollout.config.approvals import ApprovalsConfig
from saferollout.config.freeze import FreezeWindow
from saferollout.config.judge import JudgeConfig, WhenUndecided
from saferollout.config.names import check_deployment_name
from saferollout.config.notify import NotifyConfig
from saferollout.config.section import Section


class LeftCandidate(StrEnum):
    """What a rollback does with the candidate once it has no traffic."""

    KEEP = "keep"
    DELETE = "delete"


class OnDrift(StrEnum):
    """What follows where somebody else changes what the rollout set."""

    STOP = "stop"
    ROLLBACK = "rollback"


class WorkspaceConfig(Section):
    """The Azure Machine Learning workspace; each value is literal or `${NAME}` of an environment variable."""

    subscription_id: str = Field("${AZURE_SUBSCRIPTION_ID}", min_length=1, description="The subscription's id.")
    resource_group: str = Field("${AZURE_RESOURCE_GROUP}", min_length=1, description="The resource group's name.")
    name: str = Field("${AZUREML_WORKSPACE_NAME}", min_length=1, description="The workspace's name.")
    operation_timeout_s: float = Field(
        3600,  # Azure names 8 to 20 minutes for a deployment; a large image or model takes longer
        gt=0,
        description=(
            "How long one operation of Azure may take, in seconds, before it is given up and the rollout rolled back."
        ),
    )


class LiveConfig(Section):
    """The live deployment during the rollout."""

    instance_count: int | None = Field(
        None,
        ge=1,
        le=50,
        description=(
            "The number of instances to which live is scaled up before anything else; default: those that it has."
        ),
    )


class CandidateConfig(Section):
    """The candidate's size."""

    instance_count: int | None = Field(
        None,
        ge=1,
        le=50,
        description=(
            "The number of instances with which the candidate takes over, even if live has more; default: as many as "
            "live."
        ),
    )


class SmokeTestConfig(Section):
    """The requests sent straight to the candidate while it has no traffic, and what their answers must be."""

    requests: Path | None = Field(
        None,
        description=(
            "The recorded requests: a file of JSON Lines, a .json file that is one request's body, or a folder of "
            "those; default: requests.jsonl or else sample-request.json beside the deployment's YAML."
        ),
    )
    sample: int = Field(
        50, ge=1, description="How many recorded requests are sent at most, evenly spaced over the file."
    )
    max_failed: int = Field(0, ge=0, description="How many requests may be answered with an error.")
    max_latency_ms: float = Field(
        1000, gt=0, description="The limit in milliseconds for the 95th percentile of the candidate's latency."
    )
    answer_schema: Path | None = Field(
        None, description="A JSON schema for each answer; default: the shape of the live deployment's answer."
    )
    tolerance: float = Field(
        1e-6, ge=0, description="How far a number may be from the expected one in the file (absolute difference)."
    )
    max_wrong: int | None = Field(
        None,
        ge=0,
        description="How many answers may differ from the expected ones; default: as many as the live deployment's.",
    )
    ignore: tuple[str, ...] = Field(
        (), description="Keys that comparisons leave out since they differ at each call or version, e.g. request_id."
    )
    expect_change: bool = Field(
        False,
        description=(
            "Whether all answers may differ from live's by orders of magnitude or in their label, where the recorded "
            "requests do not say which answer is true."
        ),
    )
    when_undecided: Literal[WhenUndecided.ASK, WhenUndecided.FAIL] = Field(
        WhenUndecided.ASK,
        description=(
            "What follows where answers differ from live's that much and the recorded requests do not say which is "
            "true: ask a person before the first share (also where that stage asks nobody), or fail."
        ),
    )
    max_error_increase: float = Field(
        0.25, ge=0, description="The share by which the mean error on expected numbers may exceed the live one's."
    )


class OnTimeout(StrEnum):
    """What follows a question that nobody has answered in time."""

    ROLLBACK = "rollback"
    KEEP = "keep"


class Auto(StrEnum):
    """When a stage is approved by itself."""

    OFF = "off"
    HEALTHY = "healthy"


class WhenBusy(StrEnum):
    """What follows where another rollout of the endpoint is under way."""

    REFUSE = "refuse"
    QUEUE = "queue"
    SUPERSEDE = "supersede"


class StageConfig(Section):
    """A traffic share for the candidate with what guards it."""

    traffic: int = Field(ge=1, le=100, description="The candidate's share of the traffic, in percent.")
    approval: bool = Field(True, description="Whether a person is asked before the candidate gets this share.")
    auto: Auto = Field(
        Auto.OFF,
        description=(
            "`healthy` approves by itself where the judge's last verdict is healthy and no gate was undecided; else a "
            "person is asked."
        ),
    )
    approval_timeout_s: float = Field(
        86400,
        ge=1,
        description="How long the question stays open, in seconds; no answer by then counts as a rejection.",
    )
    on_timeout: OnTimeout = Field(
        OnTimeout.ROLLBACK,
        description=(
            "What follows where nobody answers in time: roll back, or keep the traffic as it is and the question open."
        ),
    )
    approvals: ApprovalsConfig | None = Field(
        None, description="Who may approve this stage; a key that is left out is as in the config's `approvals`."
    )
    recheck_s: float = Field(
        10,
        ge=0,
        description="How long, in seconds, the candidate is tested and judged again just before it gets its share.",
    )
    judge: JudgeConfig = JudgeConfig()


class ShadowConfig(Section):
    """Copies of users' requests for the candidate before any user is on it; its answers to them are dropped."""

    mirror: int = Field(ge=1, le=50, description="The share of the users' traffic that is copied, in percent.")
    judge: JudgeConfig = JudgeConfig()


class RollbackConfig(Section):
    """What a rollback leaves behind."""

    candidate: LeftCandidate = Field(
        LeftCandidate.KEEP, description="Whether the candidate is kept at 0%, to look into it, or deleted."
    )


MAX_RESUMES = 2


class GuardConfig(Section):
    """What the guard does about a rollout whose process is gone."""

    max_resumes: int = Field(
        MAX_RESUMES,
        ge=0,
        le=100,
        description="How often a run whose process was lost begins again before its rollout is rolled back.",
    )


class RetireConfig(Section):
    """What becomes of the old deployment after the last stage."""

    keep_s: float = Field(
        0,
        ge=0,
        description="How long, in seconds, the old deployment stays at 0% for a quick way back; 0 deletes it at once.",
    )


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


def _with_approvals(stage: Any, general: dict[str, Any]) -> Any:
    own = stage.get("approvals") if isinstance(stage, dict) else None
    return stage | {"approvals": general | own} if isinstance(own, dict) else stage


class RolloutConfig(Section):
    """One rollout: which endpoint, which candidate, and what must hold before it takes over."""

    workspace: WorkspaceConfig = WorkspaceConfig()
    endpoint: Path = Field(description="The path of the endpoint's Azure ML YAML.")
    deployment: Path = Field(
        description=(
            "The path of the candidate's Azure ML YAML; whatever name it has, the candidate gets the free slot's."
        ),
    )
    slots: Annotated[tuple[Slot, Slot], AfterValidator(_two_slots)] = Field(
        ("blue", "green"), description="The two deployment names that candidates take in turn."
    )
    live: LiveConfig = LiveConfig()
    candidate: CandidateConfig = CandidateConfig()
    smoke_test: SmokeTestConfig = SmokeTestConfig()
    shadow: ShadowConfig | None = Field(
        None, description="A stage of mirrored traffic before the first share; default: none."
    )
    stages: Annotated[tuple[StageConfig, ...], AfterValidator(_stages)] = (
        StageConfig(traffic=10),
        StageConfig(traffic=100),
    )
    approvals: ApprovalsConfig = ApprovalsConfig()
    freeze: tuple[FreezeWindow, ...] = Field(
        (),
        description="The times when no candidate gets more traffic, even if approved; a rollback is never frozen.",
    )
    notify: NotifyConfig | None = Field(None, description="Messages about the rollout; default: none.")
    when_busy: WhenBusy = Field(
        WhenBusy.REFUSE,
        description=(
            "What follows where a rollout of another revision is under way: this one is refused, waits for its end for "
            "a day at most, or rolls it back and begins, unless it is of an earlier version of the same model."
        ),
    )
    orchestrator_grace_s: float = Field(
        120,
        ge=0,
        description="How long, in seconds, Prefect's server may be out of reach before the rollout is rolled back.",
    )
    guard: GuardConfig = GuardConfig()
    on_drift: OnDrift = Field(
        OnDrift.STOP,
        description=(
            "What follows where somebody else changes traffic, deployments or instances during the rollout: leave the "
            "endpoint as it is and ask a person (stop), or roll back and overwrite that traffic (rollback). Where only "
            "the candidate was changed, stop takes its users away, has it pass all gates again, and asks; while a "
            "question is open, that begins with its answer."
        ),
    )
    rollback: RollbackConfig = RollbackConfig()
    retire: RetireConfig = RetireConfig()

    @model_validator(mode="before")
    @classmethod
    def _complete_approvals(cls, given: Any) -> Any:
        """Let what holds for all approvals stand where a stage says nothing else."""
        general, stages = (given.get(key) for key in ("approvals", "stages")) if isinstance(given, dict) else (0, 0)
        if not (isinstance(general, dict) and isinstance(stages, list | tuple)):
            return given
        return given | {"stages": [_with_approvals(stage, general) for stage in stages]}

    def approvals_of(self, stage: StageConfig) -> ApprovalsConfig:
        """Who may approve a stage."""
        return stage.approvals or self.approvals
