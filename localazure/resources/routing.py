"""What the gateway shall do for the endpoints."""

from localazure.compute.runtime import Targets
from localazure.core.store import Store
from localazure.gateway import xds
from localazure.resources import credentials
from localazure.resources.endpoint_documents import EndpointState, endpoints_table
from localazure.resources.quota import Quota


def wanted_routes(store: Store, quota: Quota, running: Targets) -> list[xds.Endpoint]:
    """Return what the gateway shall do for all endpoints, given the deployments that run."""
    states = ((name, state.in_force) for name, state in endpoints_table(store).items())
    return [_wanted_routes(state, running.get(name, {}), quota) for name, state in states if state]


def _wanted_routes(state: EndpointState, targets: dict[str, xds.Target], quota: Quota) -> xds.Endpoint:
    endpoint = state.resource
    return xds.Endpoint(
        name=endpoint.name,
        keys=tuple(state.keys),
        audience=None if endpoint.properties.auth_mode == "Key" else credentials.audience(endpoint),
        traffic=endpoint.properties.traffic,
        mirror=endpoint.properties.mirror_traffic,
        deployments=targets,
        requests_per_second=quota.requests,
        megabytes_per_second=quota.bandwidth,
        kubernetes=endpoint.compute == "Kubernetes",
    )
