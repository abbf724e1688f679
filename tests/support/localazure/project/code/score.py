"""Multiply by the model's factor. What is asked of it beside that is for the tests of local Azure."""

import json
import os
import signal
import sys
import time
from pathlib import Path

factor = 0.0
requests = 0


def init() -> None:
    global factor
    print("loading the model")
    if os.environ.get("BREAK_INIT"):
        raise RuntimeError("the model cannot be loaded")
    (model,) = Path(os.environ["AZUREML_MODEL_DIR"]).rglob("model.json")
    factor = json.loads(model.read_text())["factor"]


def run(raw_data: str) -> dict:
    global requests
    requests += 1
    request = json.loads(raw_data)
    if request.get("raise"):
        raise ValueError(request["raise"])
    if request.get("die"):
        os.kill(os.getppid(), signal.SIGKILL)  # the server itself, not only its worker
        os._exit(1)
    if request.get("say"):
        print(request["say"], flush=True)
    time.sleep(request.get("sleep_s", 0))
    return {
        "y": request.get("x", 1) * factor,
        "pid": os.getpid(),
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "model_dir": os.environ.get("AZUREML_MODEL_DIR"),
        "greeting": os.environ.get("GREETING"),
    }
