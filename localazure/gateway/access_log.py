"""The gateway's access log: what a line has, and when a new file is begun."""

from pathlib import Path

MAX_BYTES = 128 * 2**20
"""Then a new log is begun. It takes some 220,000 requests until then, and its predecessor is kept."""

FORMAT = {
    "time": "%START_TIME%",
    "endpoint": "%METADATA(ROUTE:localazure:endpoint)%",
    "deployment": "%METADATA(ROUTE:localazure:deployment)%",
    "method": "%REQ(:METHOD)%",
    "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
    "protocol": "%PROTOCOL%",
    "response_code": "%RESPONSE_CODE%",
    "response_flags": "%RESPONSE_FLAGS%",
    "model_status_code": "%RESP(MS-AZUREML-MODEL-ERROR-STATUSCODE)%",
    "request_bytes": "%BYTES_RECEIVED%",
    "response_bytes": "%BYTES_SENT%",
    "received_ms": "%REQUEST_DURATION%",
    "duration_ms": "%DURATION%",
    "model_ms": "%RESP(MS-AZUREML-MODEL-TIME)%",
    "request_delay_ms": "%TRAILER(MS-AZUREML-BANDWIDTH-REQUEST-DELAY-MS)%",
    "response_delay_ms": "%TRAILER(MS-AZUREML-BANDWIDTH-RESPONSE-DELAY-MS)%",
    "instance": "%UPSTREAM_HOST%",
    "request_id": "%REQ(X-REQUEST-ID)%",
    "client_request_id": "%REQ(X-MS-CLIENT-REQUEST-ID)%",
    "pinned": "%REQ(AZUREML-MODEL-DEPLOYMENT)%",
}
"""Names, and Envoy's command operators for their values; `mirrored` comes with them."""


def predecessor(path: Path) -> Path:
    """Return the path of the log that was written before the one at `path`."""
    return path.with_suffix(".1" + path.suffix)


def moved_away(path: Path) -> bool:
    """Move a long log away.

    Returns:
        Whether there is none at `path` now.
    """
    try:
        if path.stat().st_size < MAX_BYTES:
            return False
        path.replace(predecessor(path))
    except FileNotFoundError:
        pass
    return True
