"""A script, for where Prefect's Kubernetes worker is installed: what it makes of a job template for a run."""

import asyncio
import json
import sys
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from kubernetes_asyncio.client import ApiClient
from prefect import get_client
from prefect_kubernetes.worker import KubernetesWorkerJobConfiguration


async def make_jobs(template: dict[str, Any], flow_run: str, variables: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the worker would send to Kubernetes for a run, once for each of these job variables."""
    return [await _make_job(template, flow_run, given) for given in variables]


async def _make_job(template: dict[str, Any], flow_run: str, variables: dict[str, Any]) -> dict[str, Any]:
    async with get_client() as client:
        run = await client.read_flow_run(UUID(flow_run))
        run.job_variables = variables
        pool = await client.read_work_pool(run.work_pool_name or "")
        configuration = await KubernetesWorkerJobConfiguration.resolve_for_flow_run(
            run,
            client=client,
            work_pool=pool.model_copy(update={"base_job_template": template}),
            worker_name="worker",
        )
    manifest: dict[str, Any] = configuration.job_manifest
    for name in ("parallelism", "completions"):  # Prefect insists on them there, and Kubernetes ignores them
        del manifest["spec"]["template"]["spec"][name]
    async with ApiClient() as kubernetes:
        read = kubernetes.deserialize(SimpleNamespace(data=json.dumps(manifest)), "V1Job")
        assert kubernetes.sanitize_for_serialization(read) == manifest, "Kubernetes would read it otherwise"
    return {"namespace": configuration.namespace, "manifest": manifest}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(make_jobs(**json.load(sys.stdin)))))
