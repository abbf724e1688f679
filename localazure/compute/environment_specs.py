"""What an environment is: packages that pip brings together for Azure ML's server, or an image that is run as it is."""

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from pydantic.alias_generators import to_camel

from localazure.arm.errors import BadRequest, NotSupported
from localazure.storage.asset_documents import EnvironmentProperties, InferenceConfig
from localazure.storage.inference_images import conda_of_image

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


_SERVER = {
    "liveness_route": Route("/", 5001),
    "readiness_route": Route("/", 5001),
    "scoring_route": Route("/score", 5001),
}
"""Of Azure ML's own inference server, which some environments spell out, and Azure's images run."""

_TRITON = {
    "liveness_route": Route("/v2/health/live", 8000),
    "readiness_route": Route("/v2/health/ready", 8000),
    "scoring_route": Route("/", 8000),
}

TRITON = Image("mcr.microsoft.com/mirror/nvcr/nvidia/tritonserver:23.03-py3", True, *_TRITON.values())
"""For a Triton model without an environment. Which image Azure takes is not documented; its examples name this one."""


def conda_of(properties: EnvironmentProperties) -> str | dict[str, Any] | None:
    """Return the conda file of an environment, which pip brings together; None for an image to run (`image_of`)."""
    routes = properties.inference_config or InferenceConfig()
    own_server = any(route.path != _SERVER[name].path for name, route in routes.present().items())
    if (properties.build and properties.build.model_fields_set) or own_server:
        return None
    conda: str | dict[str, Any] | None = properties.conda_file or conda_of_image(properties.image or "")
    return conda


def image_of(properties: EnvironmentProperties, model_type: str | None) -> Image:
    """Return the image of an environment version that `conda_of` gives nothing for.

    Raises:
        NotSupported: There is a conda file beside it, or an inferenceConfig that leaves out a route.
        BadRequest: A route is not valid, a Dockerfile is outside of its context, or there is nothing to run.
    """
    triton = model_type == TRITON_MODEL
    routes = _routes(properties.inference_config, _TRITON if triton else _SERVER)
    if properties.conda_file:
        raise NotSupported("a conda file on top of an image with its own server: install it in a Dockerfile")
    build = properties.build
    if build and build.model_fields_set:
        dockerfile = PurePosixPath(build.dockerfile_path or "Dockerfile")
        if dockerfile.is_absolute() or ".." in dockerfile.parts:
            raise BadRequest(f"build.dockerfilePath must be a path in the build context, not '{dockerfile}'.")
        return Image(Context(build.context_uri or "", str(dockerfile)), triton, *routes)
    if not properties.image:
        raise BadRequest("The environment has neither an image, nor a build context, nor a conda file.")
    return Image(properties.image, triton, *routes)


def _routes(given: InferenceConfig | None, default: dict[str, Route]) -> list[Route]:
    if given is None or not given.model_fields_set:
        return list(default.values())
    routes = []
    for name in default:
        route = getattr(given, name)
        if not route or not route.model_fields_set:
            raise NotSupported(f"an inferenceConfig without {to_camel(name)}")
        path, port = route.path, route.port
        if not str(path).startswith("/") or isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 65536:
            where = f"inferenceConfig.{to_camel(name)}"
            raise BadRequest(f"{where} must have a path that begins with a slash, and a port.")
        routes.append(Route(path, port))
    return routes
