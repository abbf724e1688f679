"""A gateway before a Prefect server: it lets whoever has a token for it emit events, and do nothing else."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import jwt

from tests.support import stack
from tests.support.serving import serving

AUDIENCE = "api://prefect.example.com"


class Gateway(ThreadingHTTPServer):
    """Checks tokens as any does: by the keys that the tenant publishes, for whom they are, and until when."""

    def __init__(self, prefect: str, azure: dict[str, str]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        keys = f"{azure['AZURE_AUTHORITY_HOST']}/{azure['AZURE_TENANT_ID']}/discovery/v2.0/keys"
        tls = ssl.create_default_context(cafile=Path(azure["SSL_CERT_FILE"]))
        self.keys = jwt.PyJWKClient(keys, ssl_context=tls)
        self.prefect = prefect
        self.failures = 0
        """How many requests are answered 503 from now on."""
        self.url = f"http://127.0.0.1:{self.server_port}/api"

    def refusal(self, path: str, authorization: str) -> int:
        """The status by which a request is refused; 0 if it is handed on."""
        if self.failures:
            self.failures -= 1
            return 503
        try:
            token = authorization.removeprefix("Bearer ")
            key = self.keys.get_signing_key_from_jwt(token)
            jwt.decode(token, key, algorithms=["ES256"], audience=AUDIENCE)
        except jwt.PyJWTError:
            return 401
        return 0 if path == "/api/events" else 403


class _Handler(BaseHTTPRequestHandler):
    server: Gateway

    def do_POST(self) -> None:
        """Hand the request on, or refuse it."""
        content = self.rfile.read(int(self.headers["Content-Length"]))
        status, answer = self.server.refusal(self.path, self.headers.get("Authorization", "")), b"the gateway's reason"
        if not status:
            url = self.server.prefect + self.path.removeprefix("/api")
            handed_on = stack.client().post(url, content=content, headers={"Content-Type": "application/json"})
            status, answer = handed_on.status_code, handed_on.content
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        if status != 204:
            self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Nothing: a test says what it saw."""


@contextmanager
def gateway(prefect: str, azure: dict[str, str]) -> Iterator[Gateway]:
    """A gateway that serves until the end of the block."""
    with serving(Gateway(prefect, azure)) as made:
        yield made
