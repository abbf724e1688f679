"""Retrain a model, and hand it over to a rollout if it is better than the live one. Copy it and make it yours."""

import asyncio
import functools
import hashlib
import os
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np
from azure.ai.ml import MLClient
from azure.ai.ml.entities import Model
from azure.identity import DefaultAzureCredential
from prefect import flow, get_run_logger, runtime, task
from prefect.cache_policies import NO_CACHE
from prefect.events import Event
from prefect.events.clients import get_events_client
from scipy.stats import bootstrap
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Lasso
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

FILE = "model.joblib"


class Data(NamedTuple):
    """Rows to train on, and rows that no model has seen."""

    training: Any
    training_truth: Any
    held_out: Any
    held_out_truth: Any

    def digest(self) -> str:
        """12 hex digits that distinguish these data from others."""
        return hashlib.sha256(b"".join(np.ascontiguousarray(part).tobytes() for part in self)).hexdigest()[:12]


class Gain(NamedTuple):
    """How much smaller the new model's mean loss is than the live one's, and how much it is at least."""

    mean: float
    low: float


def load() -> Data:
    """The data: put your own here. The live model must not have been trained on the rows held out."""
    found = load_diabetes(scaled=False)
    training, held_out, training_truth, held_out_truth = train_test_split(
        found.data, found.target, train_size=300, random_state=0
    )
    return Data(training, training_truth, held_out, held_out_truth)


def fit(data: Data) -> Any:
    """The model: put your own here."""
    steps = (StandardScaler(), PolynomialFeatures(degree=2, include_bias=False), StandardScaler())
    return make_pipeline(*steps, Lasso(alpha=3)).fit(data.training, data.training_truth)


def losses(model: Any, data: Data) -> Any:
    """The loss of each row held out: the smaller, the better."""
    return np.abs(model.predict(data.held_out) - data.held_out_truth)


def compare(live: Any, new: Any, confidence: float) -> Gain:
    """Compare the losses of two models on the same rows: paired, so that rows that are hard for both do not count."""
    gains = live - new
    if np.ptp(gains) == 0:  # the bootstrap of a constant is not defined, and not needed
        return Gain(float(gains.mean()), float(gains.mean()))
    rng = np.random.default_rng(0)
    found = bootstrap((gains,), np.mean, confidence_level=confidence, alternative="greater", rng=rng)
    return Gain(float(gains.mean()), float(found.confidence_interval.low))


@functools.cache
def connect() -> MLClient:
    """The workspace that the environment names."""
    return MLClient(
        DefaultAzureCredential(),
        os.environ["AZURE_SUBSCRIPTION_ID"],
        os.environ["AZURE_RESOURCE_GROUP"],
        os.environ["AZUREML_WORKSPACE_NAME"],
    )


@task
def live_version(endpoint: str) -> tuple[str, str]:
    """Name and version of the model that has the most traffic of the endpoint now."""
    azure = connect()
    traffic = azure.online_endpoints.get(endpoint).traffic
    live = azure.online_deployments.get(name=max(traffic, key=traffic.__getitem__), endpoint_name=endpoint)
    name, _, version = str(live.model).rpartition("/models/")[2].partition("/versions/")
    return name, version


@task(cache_policy=NO_CACHE)
def evaluate(model: Any, data: Data, name: str, version: str, confidence: float) -> Gain:
    """How much better the model is than a registered version."""
    with tempfile.TemporaryDirectory() as folder:
        connect().models.download(name=name, version=version, download_path=folder)
        (file,) = Path(folder).rglob(FILE)
        live = joblib.load(file)  # the workspace's own model
    return compare(losses(live, data), losses(model, data), confidence)


@task(cache_policy=NO_CACHE)
def register(model: Any, name: str, tags: dict[str, str]) -> str:
    """Register the model and return its version."""
    with tempfile.TemporaryDirectory() as folder:
        joblib.dump(model, Path(folder) / FILE)
        made = connect().models.create_or_update(Model(name=name, path=Path(folder) / FILE, tags=tags))
    return str(made.version)


@task(cache_policy=NO_CACHE)
def hand_over(config: str, model: str, by: str, why: str, request_id: str) -> None:
    """Ask for the rollout by an event, which needs nothing but Prefect; it raises where no server takes that."""
    payload = {"config": config, "model": model, "by": by, "why": why, "request_id": request_id}
    resource = {"prefect.resource.id": f"saferollout.{model.partition(':')[0]}"}
    event = Event(event="saferollout.requested", resource=resource, payload=payload)

    async def emit() -> None:
        async with get_events_client(checkpoint_every=1) as events:
            await events.emit(event)

    asyncio.run(emit())


@flow(flow_run_name="retrain {endpoint}")
def retrain(endpoint: str, config: str = "rollout", margin: float = 0.0, confidence: float = 0.95) -> str:
    """Train; register and hand over what is better than the live version; return what was done.

    Args:
        endpoint: The endpoint whose model is trained anew.
        config: The rollout's config on the worker, or its name.
        margin: By how much the mean loss must be smaller at least.
        confidence: With which that must be known.
    """
    data = load()
    model = fit(data)
    name, version = live_version(endpoint)
    gain = evaluate(model, data, name, version, confidence)
    shown = f"{gain.mean:.3g} ({confidence:.0%}: {gain.low:.2g} at least)"
    get_run_logger().info("mean loss smaller than that of %s:%s by %s", name, version, shown)
    if gain.low <= margin:
        return f"not better than {name}:{version} by more than {margin:g}: {shown}"
    run = str(runtime.flow_run.id)
    lineage = {"trained_by": run, "data": data.digest(), "compared_with": f"{name}:{version}", "gain": shown}
    made = register(model, name, lineage)
    why = f"mean loss smaller than that of {name}:{version} by {shown}"
    hand_over(config, f"{name}:{made}", f"retraining run {run}", why, run)
    return f"registered {name}:{made}, {why}; asked for its rollout by request {run}"


if __name__ == "__main__":
    print(retrain(sys.argv[1]))
