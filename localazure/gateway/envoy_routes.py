"""Which request goes where: the routes of users' requests and of their copies."""

import base64
import json
from typing import Any

from localazure.gateway.xds import (
    TYPE,
    Endpoint,
    Payloads,
    Resource,
    Target,
    cluster_name,
    endpoint_path,
    response,
)

LIVE = "live"
"""The name of the routes of users' requests."""

MIRRORS = "mirrors"
"""Copies of requests take a way of their own, so that they are logged and limited, too: the name of its routes, of its
listener within Envoy, and of the cluster that leads there."""

DEPLOYMENT_HEADER = "azureml-model-deployment"
SERVED_BY = (DEPLOYMENT_HEADER, "azureml-model-session")
"""Headers of answers that name the deployment that answered."""

TOKENS = "envoy.filters.http.jwt_authn"
"""The filter that checks tokens, and under whose name it leaves the claims of a good one …"""
CLAIMS = "claims"
"""… under this key."""

RATES = "envoy.filters.http.local_ratelimit"
"""The filter that holds endpoints to their requests per second."""

BANDWIDTH = "envoy.filters.http.bandwidth_share"
"""The filter that holds endpoints to their bytes per second."""

STATUS_CODES = "status-codes"
"""The filter that gives answers the status codes of Azure, and sends payloads to the data collector."""

_ENDPOINT_OF_ROUTE = {"key": "localazure", "path": [{"key": "endpoint"}]}
_CLIENT_ID = "[A-Za-z0-9_-]{1,40}"


def live(endpoints: list[Endpoint]) -> Resource:
    """Return who gets which request."""
    rules = [rule for endpoint in endpoints for rule in _endpoint_routes(endpoint)]
    rules.append(_answer({"prefix": "/"}, 404, "EndpointNotFound", "There is no such online endpoint."))
    return response(
        [
            {
                "@type": TYPE + "config.route.v3.RouteConfiguration",
                "name": LIVE,
                "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": rules, **_rates(endpoints)}],
            }
        ]
    )


def mirrors(endpoints: list[Endpoint]) -> Resource:
    """Return which deployment gets the copies that are for its host."""
    hosts = [
        {
            "name": cluster_name(endpoint.name, name),
            "domains": [_mirror_host(endpoint.name, name)],
            "routes": [_forward({"prefix": "/"}, endpoint, name, target)],
        }
        for endpoint in endpoints
        for name, target in endpoint.deployments.items()
    ]
    return response([{"@type": TYPE + "config.route.v3.RouteConfiguration", "name": MIRRORS, "virtual_hosts": hosts}])


def _mirror_host(endpoint: str, deployment: str) -> str:
    return f"{deployment}.{endpoint}"


def _rates(endpoints: list[Endpoint]) -> Resource:
    """Return how many requests a second each endpoint takes; every route to a deployment says whose it is."""
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
    prefix = endpoint_path(endpoint.name) + "/"
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
    if endpoint.failing:
        rules.append(_answer({"prefix": prefix}, 500, "InternalServerError", "The infrastructure is failing."))
    routed = {name: target for name, target in endpoint.deployments.items() if target.routed}
    for name, target in routed.items():
        pinned = _header(DEPLOYMENT_HEADER, {"exact": name, "ignore_case": True})
        rules.append(_forward({"prefix": prefix, "headers": [pinned]}, endpoint, name, target, prefix_rewrite="/"))
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
        action = {"prefix_rewrite": "/", "request_mirror_policies": _copies(endpoint)}
        rules.append(_forward(match, endpoint, name, routed[name], **action))
    rules.append(
        _answer({"prefix": prefix}, 404, "NoDeployment", f"No deployment of '{endpoint.name}' has positive traffic.")
    )
    return rules


def _strangers(endpoint: Endpoint) -> Resource:
    """Return what matches the requests that may not be answered."""
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


def _copies(endpoint: Endpoint) -> list[Resource]:
    return [
        {
            "cluster": MIRRORS,
            "host_rewrite_literal": _mirror_host(endpoint.name, mirror),
            "disable_shadow_host_suffix_append": True,
            "runtime_fraction": {"default_value": {"numerator": share, "denominator": "HUNDRED"}},
        }
        for mirror, share in endpoint.mirror.items()
        if share > 0 and mirror in endpoint.deployments
    ]


def _forward(match: Resource, endpoint: Endpoint, name: str, target: Target, **action: Any) -> Resource:
    """Return a route to a deployment; `action` is what else happens on it."""
    route: Resource = {
        "cluster": cluster_name(endpoint.name, name),
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
        **action,
    }
    return {
        "match": match,
        "route": route,
        "response_headers_to_add": [_added(header, name) for header in SERVED_BY],
        "metadata": {
            "filter_metadata": {
                "localazure": {"endpoint": endpoint.name, "deployment": name},
                STATUS_CODES: {"kubernetes": endpoint.kubernetes} | _collected(target.payloads),
            }
        },
        "typed_per_filter_config": {} if endpoint.kubernetes else {BANDWIDTH: _bandwidth(endpoint)},
    }


def _collected(payloads: Payloads | None) -> Resource:
    """Return what the filter for status codes needs, which sees every body that a deployment gets and sends."""
    if payloads is None:
        return {}
    authorization = f"Basic {base64.b64encode(payloads.credentials.encode()).decode()}"
    return {"authorization": authorization, "headers": list(payloads.headers)} | dict.fromkeys(
        payloads.collections, True
    )


def _bandwidth(endpoint: Endpoint) -> Resource:
    """Return how many bytes a second pass; all routes that name the same bucket share what is in it."""
    kib = endpoint.megabytes_per_second * 1_000_000 // 1024
    limit = {"bucket_id": endpoint.name, "kbps": {"default_value": kib, "runtime_key": "none"}}
    return {
        "@type": TYPE + "extensions.filters.http.bandwidth_share.v3.BandwidthShare",
        "request_limit": limit,
        "response_limit": limit,
        "enable_response_trailers": True,
        "response_trailer_prefix": "ms-azureml-",
    }


def _answer(match: Resource, status: int, code: str, message: str) -> Resource:
    body = json.dumps({"error": {"code": code, "message": message}})
    return {
        "match": match,
        "direct_response": {"status": status, "body": {"inline_string": body}},
        "response_headers_to_add": [{"header": {"key": "content-type", "value": "application/json"}}],
    }


def _added(name: str, value: str) -> Resource:
    return {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def _header(name: str, match: Resource) -> Resource:
    return {"name": name, "string_match": match}
