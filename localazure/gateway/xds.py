"""What the gateway shall do, and how that is said in Envoy's configuration."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Resource = dict[str, Any]

TYPE = "type.googleapis.com/envoy."


@dataclass(frozen=True)
class Instance:
    """One server process of a deployment, on a loopback port; `draining`: finishes what it has, gets nothing new."""

    port: int
    draining: bool = False


@dataclass(frozen=True)
class Payloads:
    """What of a deployment's requests goes to the data collector."""

    credentials: str
    """User and password there."""
    collections: tuple[str, ...]
    """`request`, `response`, or both."""
    headers: tuple[str, ...] = ()
    """Those of requests that go with them, in small letters."""


@dataclass(frozen=True)
class Target:
    """A deployment as the gateway sees it."""

    instances: tuple[Instance, ...] = ()
    request_timeout_ms: int = 5000
    max_pending: int = 2
    """Requests that may be under way at once; one more is answered 429."""
    routed: bool = True
    """Whether requests may reach it; not while it is being removed."""
    payloads: Payloads | None = None


@dataclass(frozen=True)
class Endpoint:
    """An endpoint as the gateway sees it. Traffic and mirror traffic are percentages by deployment."""

    name: str
    keys: tuple[str, ...]
    traffic: dict[str, int] = field(default_factory=dict)
    mirror: dict[str, int] = field(default_factory=dict)
    deployments: dict[str, Target] = field(default_factory=dict)
    audience: str | None = None
    """Whom a token must be for, where requests need a token and not a key."""
    requests_per_second: int = 500
    """More are answered 429; not of a Kubernetes endpoint, which has no such limit."""
    megabytes_per_second: int = 5
    """In requests, answers and copies of both together; more is delayed. Not of a Kubernetes endpoint, either."""
    kubernetes: bool = False
    """Whether its answers have the status codes of a Kubernetes endpoint."""
    failing: bool = False
    """Whether every request is answered 500, as when Azure's own part of it fails."""


def cluster_name(endpoint: str, deployment: str) -> str:
    """Return the name by which the gateway knows a deployment."""
    return f"{endpoint}/{deployment}"


def endpoint_path(endpoint: str) -> str:
    """Return the path of an endpoint. Azure has a host per endpoint; names like that need a resolver."""
    return f"/endpoints/{endpoint}"


def clusters(endpoints: list[Endpoint], directory: Path) -> Resource:
    """Return one cluster per deployment; which processes it has is in a file of its own (see `instances`)."""
    return response(
        [
            _cluster(cluster_name(endpoint.name, name), target, directory)
            for endpoint in endpoints
            for name, target in endpoint.deployments.items()
        ]
    )


def instances(cluster: str, target: Target) -> Resource:
    """Return the processes of one deployment."""
    assignment = {
        "@type": TYPE + "config.endpoint.v3.ClusterLoadAssignment",
        "cluster_name": cluster,
        "endpoints": [
            {
                "lb_endpoints": [
                    {
                        "endpoint": {
                            "address": {"socket_address": {"address": "127.0.0.1", "port_value": instance.port}}
                        },
                        "health_status": "DRAINING" if instance.draining else "HEALTHY",
                    }
                    for instance in target.instances
                ]
            }
        ],
    }
    return response([assignment])


def instances_file(cluster: str) -> str:
    """Return the file name for `instances`."""
    return f"instances.{cluster.replace('/', '.')}.json"


def _cluster(name: str, target: Target, directory: Path) -> Resource:
    return {
        "@type": TYPE + "config.cluster.v3.Cluster",
        "name": name,
        "type": "EDS",
        "eds_cluster_config": {"eds_config": source(directory, instances_file(name))},
        "connect_timeout": "2s",
        "lb_policy": "LEAST_REQUEST",
        "ignore_health_on_host_removal": True,
        # Without this, Envoy would send requests to draining instances when most of them are draining.
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        "circuit_breakers": {
            "thresholds": [
                {
                    "max_requests": target.max_pending,
                    "max_pending_requests": max(1024, target.max_pending),
                    "max_connections": max(1024, target.max_pending),
                }
            ]
        },
        "typed_extension_protocol_options": {
            TYPE.removeprefix("type.googleapis.com/") + "extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": TYPE + "extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http_protocol_options": {}},
                # The inference server's workers close after each answer; a kept connection could close under a request.
                # They also wait without end on a connection that brings nothing: one that a cancelled request left
                # unused must go, or it blocks its worker.
                "common_http_protocol_options": {"max_requests_per_connection": 1, "idle_timeout": "0.1s"},
            }
        },
    }


def source(directory: Path, file: str) -> Resource:
    """Return where Envoy finds a part of its configuration: a file that is replaced by moving another one over it."""
    return {
        "resource_api_version": "V3",
        "path_config_source": {"path": str(directory / file), "watched_directory": {"path": str(directory)}},
    }


def response(resources: list[Resource]) -> Resource:
    """Return resources of one kind as Envoy reads them. The version (`version_info`) changes exactly when they do."""
    version = hashlib.sha256(json.dumps(resources, sort_keys=True).encode()).hexdigest()[:16]
    return {"version_info": version, "resources": resources}
