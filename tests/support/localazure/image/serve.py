"""The server of a custom container: knows nothing of Azure ML but its environment variables."""

import json
import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

MODEL = json.loads(next(Path(os.environ["AZUREML_MODEL_DIR"]).rglob("model.json")).read_text())


class Handler(BaseHTTPRequestHandler):
    """Liveness and readiness, two ways to score, and one to die."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Alive as soon as it listens, ready once the model is loaded."""
        ready = os.environ.get("NEVER_READY") is None
        self.answer({"/live": 200, "/ready": 200 if ready else 503}.get(self.path, 404), b"")

    def do_POST(self) -> None:
        """Scale what was sent, or give back its bytes in reverse."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/v1/models/scale:predict":
            told = {"y": MODEL["factor"] * json.loads(body)["x"], "environment": dict(os.environ)}
            if config := os.environ.get("AZUREML_MDC_CONFIG_PATH"):
                told["collects"] = json.loads(Path(config).read_text())
            self.answer(200, json.dumps(told).encode())
        elif self.path == "/raw":
            self.answer(200, body[::-1])
        elif self.path == "/teapot":
            self.answer(418, b"")
        else:
            os._exit(3)

    def answer(self, status: int, body: bytes) -> None:
        """Send it."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit())  # the first process of a container has no other way
print("serving", flush=True)
ThreadingHTTPServer(("", int(sys.argv[1])), Handler).serve_forever()
