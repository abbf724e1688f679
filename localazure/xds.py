"""What the gateway shall do, and how that is said in Envoy's configuration."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROUTES = "endpoints"
DEPLOYMENT_HEADER = "azureml-model-deployment"
SERVED_BY_HEADER = "x-localazure-deployment"
"""Local Azure's own: tells which deployment answered. Azure has no such header; nothing may depend on it."""

TOKENS = "envoy.filters.http.jwt_authn"
"""The filter that checks tokens, and under whose name it leaves the claims of a good one …"""
CLAIMS = "claims"
"""… under this key."""

RATES = "envoy.filters.http.local_ratelimit"
"""The filter that holds endpoints to their requests per second."""

_ENDPOINT_OF_ROUTE = {"key": "localazure", "path": [{"key": "endpoint"}]}
_CLIENT_ID = "[A-Za-z0-9_-]{1,40}"

STATUS_CODES = "status-codes"
"""The filter that gives answers the status codes of Azure."""

Resource = dict[str, Any]

TYPE = "type.googleapis.com/envoy."


@dataclass(frozen=True)
class Instance:
    """One server process of a deployment, on a loopback port; `draining`: finishes what it has, gets nothing new."""

    port: int
    draining: bool = False


@dataclass(frozen=True)
class Target:
    """A deployment as the gateway sees it."""

    instances: tuple[Instance, ...] = ()
    request_timeout_ms: int = 5000
    max_pending: int = 2
    """Requests that may be under way at once; one more is answered 429."""
    routed: bool = True
    """Whether requests may reach it; not while it is being removed."""


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
    kubernetes: bool = False
    """Whether its answers have the status codes of a Kubernetes endpoint."""


def cluster_name(endpoint: str, deployment: str) -> str:
    """The name by which the gateway knows a deployment."""
    return f"{endpoint}/{deployment}"


def scoring_path(endpoint: str) -> str:
    """The path of an endpoint's scoring address. Azure has a host per endpoint; names like that need a resolver."""
    return f"/endpoints/{endpoint}/score"


def clusters(endpoints: list[Endpoint], directory: Path) -> Resource:
    """One cluster per deployment; which processes it has is in a file of its own (see `instances`)."""
    return _response(
        [
            _cluster(cluster_name(endpoint.name, name), target, directory)
            for endpoint in endpoints
            for name, target in endpoint.deployments.items()
        ]
    )


def instances(cluster: str, target: Target) -> Resource:
    """The processes of one deployment."""
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
    return _response([assignment])


def instances_file(cluster: str) -> str:
    """The file name for `instances`."""
    return f"instances.{cluster.replace('/', '.')}.json"


def routes(endpoints: list[Endpoint]) -> Resource:
    """Who gets which request. The version (`version_info`) changes exactly when the routes do."""
    rules = [rule for endpoint in endpoints for rule in _endpoint_routes(endpoint)]
    rules.append(_answer({"prefix": "/"}, 404, "EndpointNotFound", "There is no such online endpoint."))
    return _response(
        [
            {
                "@type": TYPE + "config.route.v3.RouteConfiguration",
                "name": ROUTES,
                "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": rules, **_rates(endpoints)}],
            }
        ]
    )


def _rates(endpoints: list[Endpoint]) -> Resource:
    """How many requests a second each endpoint takes; every route that leads to a deployment says whose it is."""
    whose = {"descriptor_key": "endpoint", "source": "ROUTE_ENTRY", "metadata_key": _ENDPOINT_OF_ROUTE}
    everything = {"numerator": 100, "denominator": "HUNDRED"}
    limit = {
        "@type": TYPE + "extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
        "stat_prefix": "rates",
        "token_bucket": _bucket(1_000_000),  # Envoy wants one; it counts what belongs to no endpoint
        "always_consume_default_token_bucket": False,
        "filter_enabled": {"default_value": everything},
        "filter_enforced": {"default_value": everything},
        "rate_limits": [{"actions": [{"metadata": whose}]}],
        "descriptors": [
            {
                "entries": [{"key": "endpoint", "value": endpoint.name}],
                "token_bucket": _bucket(endpoint.requests_per_second),
            }
            for endpoint in endpoints
            if not endpoint.kubernetes
        ],
    }
    return {"typed_per_filter_config": {RATES: limit}}


def _bucket(per_second: int) -> Resource:
    return {"max_tokens": per_second, "tokens_per_fill": per_second, "fill_interval": "1s"}


def _endpoint_routes(endpoint: Endpoint) -> list[Resource]:
    prefix = f"/endpoints/{endpoint.name}/"
    bad_id = {**_header("x-ms-client-request-id", {"safe_regex": {"regex": _CLIENT_ID}}), "invert_match": True}
    rules = [
        _answer(
            {"prefix": prefix, "headers": [bad_id]},
            400,
            "BadRequest",
            "x-ms-client-request-id may have letters, digits, '-' and '_', 40 of them at most.",
        ),
        _answer(
            {"prefix": prefix, **_strangers(endpoint)},
            401,
            "Unauthorized",
            "The key or token in the Authorization header is missing or not valid for this endpoint.",
        ),
    ]
    routed = {name: target for name, target in endpoint.deployments.items() if target.routed}
    for name, target in routed.items():
        pinned = _header(DEPLOYMENT_HEADER, {"exact": name, "ignore_case": True})
        rules.append(_forward({"prefix": prefix, "headers": [pinned]}, endpoint, name, target))
    rules.append(
        _answer(
            {"prefix": prefix, "headers": [{"name": DEPLOYMENT_HEADER, "present_match": True}]},
            404,
            "DeploymentNotFound",
            f"The deployment in the header {DEPLOYMENT_HEADER} was not found in endpoint '{endpoint.name}'.",
        )
    )
    reached = 0
    for name, share in endpoint.traffic.items():
        if share <= 0 or name not in routed:
            continue
        # Envoy draws one number for a request and compares it in every route, so running sums give exact shares; a
        # route each, and not one with weighted clusters, because the time-outs differ.
        reached += share
        match: Resource = {
            "prefix": prefix,
            "runtime_fraction": {"default_value": {"numerator": reached, "denominator": "HUNDRED"}},
        }
        rules.append(_forward(match, endpoint, name, routed[name], mirrored=True))
    rules.append(
        _answer({"prefix": prefix}, 404, "NoDeployment", f"No deployment of '{endpoint.name}' has positive traffic.")
    )
    return rules


def _strangers(endpoint: Endpoint) -> Resource:
    """Matches the requests that may not be answered."""
    if endpoint.audience:
        audience = {"string_match": {"exact": endpoint.audience}}
        claim = {"filter": TOKENS, "path": [{"key": CLAIMS}, {"key": "aud"}], "value": audience, "invert": True}
        return {"dynamic_metadata": [claim]}
    unknown_key = [
        {
            **_header("authorization", {"exact": f"Bearer {key}"}),
            "invert_match": True,
            "treat_missing_header_as_empty": True,
        }
        for key in endpoint.keys
    ]
    return {"headers": unknown_key}


def _forward(match: Resource, endpoint: Endpoint, name: str, target: Target, mirrored: bool = False) -> Resource:
    route: Resource = {
        "cluster": cluster_name(endpoint.name, name),
        "prefix_rewrite": "/",
        "timeout": f"{target.request_timeout_ms / 1000:.3f}s",
        # Only what certainly never reached a model is tried again: connections that an instance did not accept.
        "retry_policy": {
            "retry_on": "connect-failure",
            "num_retries": 2,
            "retry_host_predicate": [
                {
                    "name": "previous_hosts",
                    "typed_config": {"@type": TYPE + "extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"},
                }
            ],
            "host_selection_retry_max_attempts": 3,
        },
    }
    if mirrored:
        route["request_mirror_policies"] = [
            {
                "cluster": cluster_name(endpoint.name, mirror),
                "runtime_fraction": {"default_value": {"numerator": share, "denominator": "HUNDRED"}},
            }
            for mirror, share in endpoint.mirror.items()
            if share > 0 and mirror in endpoint.deployments
        ]
    return {
        "match": match,
        "route": route,
        "response_headers_to_add": [{"header": {"key": SERVED_BY_HEADER, "value": name}}],
        "metadata": {
            "filter_metadata": {
                "localazure": {"endpoint": endpoint.name, "deployment": name},
                STATUS_CODES: {"kubernetes": endpoint.kubernetes},
            }
        },
    }


def _answer(match: Resource, status: int, code: str, message: str) -> Resource:
    body = json.dumps({"error": {"code": code, "message": message}})
    return {
        "match": match,
        "direct_response": {"status": status, "body": {"inline_string": body}},
        "response_headers_to_add": [{"header": {"key": "content-type", "value": "application/json"}}],
    }


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


def _header(name: str, match: Resource) -> Resource:
    return {"name": name, "string_match": match}


def source(directory: Path, file: str) -> Resource:
    """Where Envoy finds a part of its configuration: a file that is replaced by moving another one over it."""
    return {
        "resource_api_version": "V3",
        "path_config_source": {"path": str(directory / file), "watched_directory": {"path": str(directory)}},
    }


def _response(resources: list[Resource]) -> Resource:
    version = hashlib.sha256(json.dumps(resources, sort_keys=True).encode()).hexdigest()[:16]
    return {"version_info": version, "resources": resources}
