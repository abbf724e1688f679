"""How the gateway takes requests: its TLS listener, its own answers, and its traffic log."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localazure.core.certificates import Certificates
from localazure.gateway import access_log
from localazure.gateway.envoy_routes import BANDWIDTH, CLAIMS, LIVE, MIRRORS, RATES, STATUS_CODES, TOKENS
from localazure.gateway.xds import TYPE, Resource, source

SCORING = "scoring"
"""The name of the listener that clients reach."""

COLLECTOR = "data-collector"
"""The name of the cluster that takes payloads."""


@dataclass(frozen=True)
class Issuer:
    """Whose tokens endpoints accept."""

    name: str
    public_keys: dict[str, Any]


def bootstrap(
    directory: Path,
    admin_socket: Path,
    address: tuple[str, int],
    connections: int,
    certificates: Certificates,
    log: Path,
    issuer: Issuer,
    collector_port: int,
) -> Resource:
    """Return Envoy's start configuration: a TLS listener on `address`; all else comes from files in `directory`."""
    strangers = {
        "use_remote_address": True,
        # Every client is a stranger, for whom Envoy drops x-envoy-… headers and makes request ids of its own. An empty
        # list would mean the default, by which loopback is internal; nobody has this address.
        "internal_address_config": {"cidr_ranges": [{"address_prefix": "255.255.255.255", "prefix_len": 32}]},
        "always_set_request_id_in_response": True,
        # Whoever does not go on is not waited for: with the headers of a request, with its body, or between requests.
        "request_headers_timeout": "30s",
        "request_timeout": "300s",
        "common_http_protocol_options": {"idle_timeout": "240s"},
    }
    admission = [
        {"name": TOKENS, "typed_config": _tokens(issuer)},
        {
            "name": RATES,
            "typed_config": {
                "@type": TYPE + "extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
                "stat_prefix": "rates",
            },
        },
    ]
    scoring = _manager(LIVE, directory, admission, log, mirrored=False) | strangers
    copies = _manager(MIRRORS, directory, [], log, mirrored=True)
    tls = {
        "@type": TYPE + "extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": {
            "alpn_protocols": ["h2", "http/1.1"],
            "tls_certificates": [
                {
                    "certificate_chain": {"filename": str(certificates.certificate)},
                    "private_key": {"filename": str(certificates.key)},
                }
            ],
        },
    }
    limit = {
        "@type": TYPE + "extensions.filters.network.connection_limit.v3.ConnectionLimit",
        "stat_prefix": "gateway",
        "max_connections": connections,
    }
    listener = {
        "name": SCORING,
        "address": {"socket_address": {"address": address[0], "port_value": address[1]}},
        "filter_chains": [
            {
                "filters": [
                    {"name": "connections", "typed_config": limit},
                    {"name": "http", "typed_config": scoring},
                ],
                "transport_socket": {"name": "tls", "typed_config": tls},
                "transport_socket_connect_timeout": "30s",
            }
        ],
    }
    # Within Envoy, where nobody else reaches it.
    within = {
        "name": MIRRORS,
        "internal_listener": {},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": copies}]}],
    }
    lead = {"endpoint": {"address": {"envoy_internal_address": {"server_listener_name": MIRRORS}}}}
    cluster = {
        "name": MIRRORS,
        "load_assignment": {"cluster_name": MIRRORS, "endpoints": [{"lb_endpoints": [lead]}]},
    }
    receiver = {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": collector_port}}}}
    collector = {
        "name": COLLECTOR,
        "connect_timeout": "2s",
        "load_assignment": {"cluster_name": COLLECTOR, "endpoints": [{"lb_endpoints": [receiver]}]},
    }
    return {
        "node": {"id": "local-azure", "cluster": "local-azure"},
        "admin": {"address": {"pipe": {"path": str(admin_socket), "mode": 0o600}}},
        # Its default allows for regular expressions that fit into 100 steps; that for request ids takes 203.
        "layered_runtime": {"layers": [{"name": "limits", "static_layer": {"re2.max_program_size.error_level": 1000}}]},
        "watchdogs": {"main_thread_watchdog": _WATCHDOG, "worker_watchdog": _WATCHDOG},
        "dynamic_resources": {"cds_config": source(directory, "clusters.json")},
        "static_resources": {"listeners": [listener, within], "clusters": [cluster, collector]},
        "bootstrap_extensions": [
            {
                "name": "envoy.bootstrap.internal_listener",
                "typed_config": {"@type": TYPE + "extensions.bootstrap.internal_listener.v3.InternalListener"},
            }
        ],
    }


def _manager(routes: str, directory: Path, admission: list[Resource], log: Path, mirrored: bool) -> Resource:
    """Return what takes users' requests or, `mirrored`, copies of them; first those that `admission` lets pass."""
    return {
        "@type": TYPE + "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": routes,
        "server_name": "azureml-frontdoor",
        "rds": {"route_config_name": routes, "config_source": source(directory, f"{routes}.json")},
        "http_filters": [
            *admission,
            {
                "name": BANDWIDTH,
                "typed_config": {"@type": TYPE + "extensions.filters.http.bandwidth_share.v3.BandwidthShare"},
            },
            {
                "name": STATUS_CODES,
                "typed_config": {
                    "@type": TYPE + "extensions.filters.http.lua.v3.Lua",
                    "default_source_code": {"inline_string": _STATUS_CODES + _PAYLOADS},
                },
            },
            {"name": "router", "typed_config": {"@type": TYPE + "extensions.filters.http.router.v3.Router"}},
        ],
        "local_reply_config": {"mappers": _LOCAL_REPLIES},
        "access_log": [
            {
                "name": "traffic-log",
                "typed_config": {
                    "@type": TYPE + "extensions.access_loggers.file.v3.FileAccessLog",
                    "path": str(log),
                    "log_format": {"json_format": {**access_log.FORMAT, "mirrored": mirrored}},
                },
            }
        ],
    }


def _tokens(issuer: Issuer) -> Resource:
    """Return the filter that checks tokens. It refuses nothing: the routes do, which see the claims of a good token."""
    provider = {
        "issuer": issuer.name,
        "local_jwks": {"inline_string": json.dumps(issuer.public_keys)},
        "forward": True,
        "payload_in_metadata": CLAIMS,
        "clear_route_cache": True,
        "clock_skew_seconds": 1,
    }
    any_or_none = {"requires_any": {"requirements": [{"provider_name": "local"}, {"allow_missing_or_failed": {}}]}}
    return {
        "@type": TYPE + "extensions.filters.http.jwt_authn.v3.JwtAuthentication",
        "providers": {"local": provider},
        "rules": [{"match": {"prefix": "/"}, "requires": any_or_none}],
    }


def _mapper(flags: list[str], status: int, code: str, message: str, model_status: int | None = None) -> Resource:
    mapper: Resource = {
        "filter": {"response_flag_filter": {"flags": flags}},
        "status_code": status,
        "body_format_override": {"json_format": {"error": {"code": code, "message": message}}},
    }
    if model_status:
        mapper["headers_to_add"] = [
            {"header": {"key": "ms-azureml-model-error-statuscode", "value": str(model_status)}},
            {"header": {"key": "ms-azureml-model-error-reason", "value": code}},
        ]
    return mapper


# By its status: the filter for rates sets its flag only after it has answered.
_RATE_LIMITED = {
    **_mapper([], 429, "RateLimitExceeded", "The endpoint gets more requests a second than it may."),
    "filter": {
        "status_code_filter": {"comparison": {"op": "EQ", "value": {"default_value": 429, "runtime_key": "none"}}}
    },
}

_LOCAL_REPLIES = [
    _RATE_LIMITED,
    _mapper(["UT"], 408, "RequestTimeout", "The request took longer than request_timeout_ms."),
    _mapper(["UO"], 429, "TooManyPendingRequests", "The deployment has too many pending requests."),
    # A container that is not there or dies under a request is a model error, as one that answers badly is.
    _mapper(["UH"], 424, "NoHealthyInstance", "The deployment has no instance that is ready.", 503),
    _mapper(["UF", "UC", "LR", "UR", "UPE"], 424, "InstanceFailed", "The instance ended before it answered.", 502),
]

_WATCHDOG = {"miss_timeout": "60s", "megamiss_timeout": "60s"}
"""It only counts what takes long; with its defaults, it wakes each thread ten times a second."""

_STATUS_CODES = """
-- What a managed endpoint answers 408, 424 and 429, a Kubernetes endpoint answers so.
local kubernetes = { ["408"] = "504", ["429"] = "503" }

local function give_status(handle)
  local headers = handle:headers()
  local status = headers:get(":status")
  local managed = not handle:metadata():get("kubernetes")
  local time = headers:get("x-envoy-upstream-service-time")
  if time == nil then  -- the gateway's own answer
    if not managed then
      local model = headers:get("ms-azureml-model-error-statuscode")
      headers:replace(":status", model or kubernetes[status] or status)
    end
    return
  end
  headers:remove("x-envoy-upstream-service-time")
  if status == "200" then return end
  headers:replace("ms-azureml-model-time", time)
  if managed then
    headers:replace("ms-azureml-model-error-statuscode", status)
    headers:replace("ms-azureml-model-error-reason", "model_error")
    headers:replace(":status", "424")
  elseif status == "500" then
    headers:replace(":status", "502")  -- run() raised
  end
end
"""

_PAYLOADS = """
-- Bodies pass on while copies of their parts are kept, and go to the data collector when they are whole.
local function collect(handle, name, event)
  local parts = {}
  for part in handle:bodyChunks() do
    parts[#parts + 1] = part:getBytes(0, part:length())
  end
  event[":method"], event[":path"], event[":authority"] = "POST", "/modeldata/log", "data-collector"
  event["ce-type"] = "azureml.inference." .. name
  handle:httpCall("data-collector", event, table.concat(parts), 5000, true)
end

function envoy_on_request(handle)
  local wanted = handle:metadata()
  local authorization = wanted:get("authorization")
  if authorization == nil then return end
  local headers = handle:headers()
  local id = headers:get("x-request-id")
  handle:streamInfo():dynamicMetadata():set("data-collector", "id", id)
  if not wanted:get("request") then return end
  local event = { ["authorization"] = authorization, ["ce-x-request-id"] = id }
  for _, name in ipairs(wanted:get("headers")) do
    event["ce-" .. name] = headers:get(name)
  end
  event["ce-path"] = headers:get(":path"):gsub("^/endpoints/[^/]+", "")
  event["ce-method"] = headers:get(":method")
  event["content-type"] = headers:get("content-type")
  collect(handle, "request", event)
end

function envoy_on_response(handle)
  local wanted, headers = handle:metadata(), handle:headers()
  local answered = headers:get("x-envoy-upstream-service-time")  -- by the deployment, and not by the gateway
  local authorization = wanted:get("authorization")
  local event = { ["authorization"] = authorization, ["content-type"] = headers:get("content-type") }
  local collected = authorization and wanted:get("response") and answered
  give_status(handle)
  if collected then
    local own = handle:streamInfo():dynamicMetadata():get("data-collector")
    event["ce-x-request-id"] = own and own["id"]
    collect(handle, "response", event)
  end
end
"""
