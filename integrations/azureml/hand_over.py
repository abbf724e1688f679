"""Hand a registered model over to its rollout: the last step of an Azure ML pipeline job.

It posts the event `saferollout.requested` to Prefect's API, or to a gateway before it. Exit codes: 0 it is taken, 1 it
is refused, 2 the arguments do not fit, 3 nothing answers. It needs Python, httpx and azure-identity.
"""

import argparse
import base64
import json
import logging
import os
import re
import sys
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import CredentialUnavailableError, ManagedIdentityCredential

DETAILS = "model_registration_details.json"
"""What Azure ML's own component `register_model` writes into its output."""
MODEL = re.compile(r"(azureml:)?[A-Za-z0-9][\w.-]*:[\w.-]+", re.ASCII)
TRIES = 6
"""The waits between them double, from one second."""


class Failure(Exception):
    """Why nothing is handed over, and the exit code."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(" ".join(reason.split()))
        self.code = code


def read_arguments(given: list[str], env: Mapping[str, str]) -> argparse.Namespace:
    """The arguments, with what Azure ML's environment says where they say nothing."""
    job = env.get("AZUREML_RUN_ID", "")
    parser = argparse.ArgumentParser(description="Ask for the rollout of a registered model.")
    parser.add_argument("--config", required=True, help="the rollout's config on the worker, or its name there")
    parser.add_argument("--model", default="", help="the registered model: <name>:<version>")
    parser.add_argument("--registered", type=Path, help=f"instead of --model: a folder with {DETAILS}, or that file")
    parser.add_argument("--why", default="", help="why, for the report")
    parser.add_argument("--by", default=f"Azure ML job {job}".strip(), help="who asks; by default this job")
    parser.add_argument("--request-id", default=job, help="twice the same starts one rollout; by default this job's")
    parser.add_argument("--prefect-api-url", default=env.get("PREFECT_API_URL", ""), help="ends with /api")
    parser.add_argument(
        "--audience", default="", help="for whom the token of the job's managed identity is: api://<id>"
    )
    return parser.parse_args(given)


def model_of(arguments: argparse.Namespace) -> str:
    """The model that is named, or that an earlier step has registered."""
    if bool(arguments.model) == bool(arguments.registered):
        raise Failure(
            2, "--model, --registered: exactly one of them is needed; name the model, or the earlier step's output"
        )
    model, source = str(arguments.model), "--model"
    if path := arguments.registered:
        file = path / DETAILS if path.is_dir() else path
        source = str(file)
        try:
            found = json.loads(file.read_text())
            model = f"{found['name']}:{found['version']}"
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Failure(2, f'{file}: {error!r}; it has to hold {{"name": …, "version": …}}') from None
    if not MODEL.fullmatch(model):
        raise Failure(2, f"{source}: {model[:60]!r} is not a model version; write <name>:<version>")
    return model


def authorization(audience: str, env: Mapping[str, str]) -> dict[str, str]:
    """The header by which Prefect, or the gateway before it, knows who asks; nothing where neither wants it.

    A request has one such header: where Prefect behind a gateway wants its password, too, the gateway has to add it.
    """
    password, key = env.get("PREFECT_API_AUTH_STRING", ""), env.get("PREFECT_API_KEY", "")
    if sum(map(bool, (audience, password, key))) > 1:
        raise Failure(
            2,
            "--audience, PREFECT_API_AUTH_STRING, PREFECT_API_KEY: only one of them can be sent; leave the others out",
        )
    if password:
        return {"Authorization": f"Basic {base64.b64encode(password.encode()).decode()}"}
    if key:
        return {"Authorization": f"Bearer {key}"}
    if not audience:
        return {}
    try:
        with ManagedIdentityCredential(client_id=env.get("DEFAULT_IDENTITY_CLIENT_ID")) as credential:
            token = credential.get_token(f"{audience.removesuffix('/.default')}/.default").token
    except (ClientAuthenticationError, CredentialUnavailableError) as error:
        raise Failure(1, f"the job's managed identity gets no token for {audience}: {error.message}") from None
    return {"Authorization": f"Bearer {token}"}


def event_for(arguments: argparse.Namespace, model: str) -> dict[str, Any]:
    """The event; the same request has the same id, so that a repeated one is the same event."""
    payload = {"config": arguments.config, "model": model, "by": arguments.by, "why": arguments.why}
    payload["request_id"] = arguments.request_id
    return {
        "occurred": datetime.now(UTC).isoformat(),
        "event": "saferollout.requested",
        "resource": {"prefect.resource.id": f"saferollout.{model.removeprefix('azureml:').partition(':')[0]}"},
        "payload": payload,
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(payload)) if arguments.request_id else uuid.uuid4()),
    }


def post(url: str, event: dict[str, Any], headers: dict[str, str]) -> None:
    """Post the event; what passes is tried again."""
    trouble = ""
    with httpx.Client(timeout=30, headers=headers) as client:
        for turn in range(TRIES):
            time.sleep(2 ** (turn - 1) if turn else 0)
            try:
                answer = client.post(f"{url.rstrip('/')}/events", json=[event])
            except httpx.TransportError as error:
                trouble = str(error) or type(error).__name__
                continue
            if answer.is_success:
                return
            trouble = f"status {answer.status_code}: {answer.text[:300]}"
            if answer.status_code < 500 and answer.status_code != 429:
                raise Failure(1, f"{url} refuses the request, {trouble}")
    raise Failure(3, f"{url} does not take the request, tried {TRIES} times; the last time: {trouble}")


def main() -> None:
    """Hand over, and say so."""
    logging.getLogger("azure").addHandler(logging.NullHandler())  # what it would say there is in the one line below
    arguments = read_arguments(sys.argv[1:], os.environ)
    try:
        model = model_of(arguments)
        if not arguments.prefect_api_url.startswith(("http://", "https://")):
            raise Failure(2, "--prefect-api-url: not given; write https://<host>/api")
        post(arguments.prefect_api_url, event_for(arguments, model), authorization(arguments.audience, os.environ))
    except Failure as failure:
        print(f"error: {failure}", file=sys.stderr)
        sys.exit(failure.code)
    print(f"handed over: {model}, config {arguments.config}, request id {arguments.request_id or 'none'}")


if __name__ == "__main__":
    main()
