"""Answers as scoring scripts give them, by what the request asks for; GREEN=1 is another version of the model."""

import json
import math
import os
import uuid

version = "2" if os.environ.get("GREEN") else "1"


def init() -> None:
    """There is no model."""


def run(raw_data: str) -> object:
    request = json.loads(raw_data)
    try:
        return ANSWERS[request["as"]](request)
    except Exception as error:  # noqa: BLE001 - as many scripts do; what follows from it is tested
        return {"error": str(error)} if request["as"] == "object" else str(error)


def text(request: dict) -> str:
    return json.dumps({"predictions": [{"label": "cat"}], "x": request["x"]})


def nan(_request: dict) -> object:
    return {"predictions": [math.nan, math.inf]}


def meta(request: dict) -> object:
    return {"y": [request["x"]], "request_id": str(uuid.uuid4()), "model_version": version}


def fragile(request: dict) -> object:
    """Fail for the numbers that GREEN does not know."""
    if version == "2" and request["x"] % 2:
        raise LookupError("no such column")
    return {"y": [request["x"]]}


ANSWERS = {
    "text": text,
    "twice": lambda request: json.dumps(text(request)),
    "nan": nan,
    "meta": meta,
    "object": fragile,
    "plain": fragile,
}
