"""What clients read of the logs of a deployment's containers."""

from pathlib import Path

from localazure.arm.errors import BadRequest
from localazure.compute.revisions import SERVER_LOG, STORAGE_LOG
from localazure.resources.deployment_documents import LogsBody

_LOGS = {"inferenceserver": SERVER_LOG, "storageinitializer": STORAGE_LOG}
_DEFAULT_TAIL = 500


def read_log(folder: Path, body: LogsBody, state: str) -> str:
    """Return the end of a log in the deployment's folder, under the deployment's state.

    Raises:
        BadRequest: There is no such log, or the number of lines is not a positive integer.
    """
    container = body.container_type or "InferenceServer"
    file = _LOGS.get(str(container).lower())
    if file is None:
        raise BadRequest(f"containerType must be StorageInitializer or InferenceServer, not {container!r}.")
    tail = _DEFAULT_TAIL if body.tail is None else body.tail
    if isinstance(tail, bool) or not isinstance(tail, int) or tail < 1:
        raise BadRequest(f"tail must be a positive integer, not {tail!r}.")
    path = folder / file
    lines = path.read_text(errors="replace").splitlines() if path.exists() else []
    head = [f"Instance status: {state}", "", f"Container logs ({container}):"]
    return "\n".join([*head, *lines[-tail:]]) + "\n"
