"""What an environment is: packages that pip brings together for Azure ML's server, or an image that is run as it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from localazure.arm.errors import bad_request, not_implemented
from localazure.core.store import Document
from localazure.storage.curated import minimal

TRITON_MODEL = "triton_model"


@dataclass(frozen=True)
class Route:
    """Where a container is asked."""

    path: str
    port: int


@dataclass(frozen=True)
class Context:
    """Where a Dockerfile and its files lie."""

    uri: str
    dockerfile: str


@dataclass(frozen=True)
class Image:
    """An image that brings its own server, by its reference or as what it is built from."""

    source: str | Context
    triton: bool
    """Whether it must be told to run Triton on the model."""
    liveness: Route
    readiness: Route
    scoring: Route

    def __str__(self) -> str:
        return f"the image of {self.source.dockerfile}" if isinstance(self.source, Context) else self.source


_SERVER = {"livenessRoute": Route("/", 5001), "readinessRoute": Route("/", 5001), "scoringRoute": Route("/score", 5001)}
"""Of Azure ML's own inference server, which some environments spell out, and Azure's images run."""

_TRITON = {
    "livenessRoute": Route("/v2/health/live", 8000),
    "readinessRoute": Route("/v2/health/ready", 8000),
    "scoringRoute": Route("/", 8000),
}

TRITON = Image("mcr.microsoft.com/mirror/nvcr/nvidia/tritonserver:23.03-py3", True, *_TRITON.values())
"""For a Triton model without an environment. Which image Azure takes is not documented; its examples name this one."""


def conda_of(environment: Document) -> str | dict[str, Any] | None:
    """The conda file of an environment version, which pip brings together; None for an image to run (`image_of`)."""
    properties: dict[str, Any] = environment["properties"]
    routes = properties.get("inferenceConfig") or {}
    own_server = any(route and route.get("path") != _SERVER[name].path for name, route in routes.items())
    if properties.get("build") or own_server:
        return None
    conda: str | dict[str, Any] | None = properties.get("condaFile") or minimal(properties.get("image") or "")
    return conda


def image_of(environment: Document, model_type: str | None) -> Image:
    """The image of an environment version that `conda_of` gives nothing for.

    Raises ArmError: 501 for a conda file beside it and for an inferenceConfig that leaves out a route, 400 for a route
    that is none, a Dockerfile outside of its context, and where there is nothing to run.
    """
    properties: dict[str, Any] = environment["properties"]
    triton = model_type == TRITON_MODEL
    routes = _routes(properties.get("inferenceConfig") or {}, _TRITON if triton else _SERVER)
    if properties.get("condaFile"):
        raise not_implemented("a conda file on top of an image with its own server: install it in a Dockerfile")
    if build := properties.get("build"):
        dockerfile = PurePosixPath(build.get("dockerfilePath") or "Dockerfile")
        if dockerfile.is_absolute() or ".." in dockerfile.parts:
            raise bad_request(f"build.dockerfilePath must be a path in the build context, not '{dockerfile}'.")
        return Image(Context(build["contextUri"], str(dockerfile)), triton, *routes)
    if not properties.get("image"):
        raise bad_request("The environment has neither an image, nor a build context, nor a conda file.")
    return Image(properties["image"], triton, *routes)


def _routes(given: dict[str, Any], default: dict[str, Route]) -> list[Route]:
    if not given:
        return list(default.values())
    routes = []
    for name in default:
        route = given.get(name)
        if not route:
            raise not_implemented(f"an inferenceConfig without {name}")
        path, port = route.get("path"), route.get("port")
        if not str(path).startswith("/") or isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 65536:
            raise bad_request(f"inferenceConfig.{name} must have a path that begins with a slash, and a port.")
        routes.append(Route(path, port))
    return routes
