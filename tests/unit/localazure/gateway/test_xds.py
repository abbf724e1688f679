"""What is wanted of the gateway, said in Envoy's words."""

import dataclasses
from pathlib import Path

from localazure.gateway import envoy_routes, xds

BLUE = xds.Target((xds.Instance(1001), xds.Instance(1002, draining=True)), request_timeout_ms=1500, max_pending=4)
GREEN = xds.Target((xds.Instance(1003),))
ENDPOINT = xds.Endpoint("shop", ("key1", "key2"), {"blue": 70, "green": 30}, {}, {"blue": BLUE, "green": GREEN})


def rules(endpoint: xds.Endpoint) -> list[xds.Resource]:
    """The endpoint's routes, in order."""
    found: list[xds.Resource] = envoy_routes.live([endpoint])["resources"][0]["virtual_hosts"][0]["routes"]
    return found


def test_keys_are_checked_before_anything_else() -> None:
    """But the request id: the rule refuses whoever has neither key, or sends no header at all."""
    first = rules(ENDPOINT)[1]
    assert first["direct_response"]["status"] == 401
    assert [header["string_match"]["exact"] for header in first["match"]["headers"]] == ["Bearer key1", "Bearer key2"]
    assert all(header["invert_match"] for header in first["match"]["headers"])
    assert all(header["treat_missing_header_as_empty"] for header in first["match"]["headers"])


def test_shares_are_running_sums() -> None:
    """Envoy compares one number with each: 70, and then all of the rest."""
    shares = [rule["match"]["runtime_fraction"]["default_value"]["numerator"] for rule in forwards(ENDPOINT)]
    assert shares == [70, 100]


def test_a_deployment_that_is_being_removed_has_no_route_but_still_a_cluster() -> None:
    """What it is answering must not be cut."""
    leaving = xds.Target(BLUE.instances, routed=False)
    endpoint = xds.Endpoint("shop", ("k",), {"green": 100}, {}, {"blue": leaving, "green": GREEN})
    assert not any(rule.get("route", {}).get("cluster") == "shop/blue" for rule in rules(endpoint))
    assert [cluster["name"] for cluster in xds.clusters([endpoint], Path("/x"))["resources"]] == [
        "shop/blue",
        "shop/green",
    ]


def test_draining_instances_are_marked() -> None:
    """They stay known, so that what they are answering can be counted."""
    found = xds.instances("shop/blue", BLUE)["resources"][0]["endpoints"][0]["lb_endpoints"]
    assert [host["health_status"] for host in found] == ["HEALTHY", "DRAINING"]


def test_pinned_requests_are_not_mirrored() -> None:
    """Only those that follow the traffic are."""
    endpoint = xds.Endpoint("shop", ("k",), {"blue": 100}, {"green": 10}, {"blue": BLUE, "green": GREEN})
    mirroring = [rule for rule in rules(endpoint) if rule.get("route", {}).get("request_mirror_policies")]
    assert mirroring == forwards(endpoint)


def test_everything_of_an_endpoint_shares_its_bandwidth() -> None:
    """Copies as well; a Kubernetes endpoint has no such limit."""
    for endpoint, expected in ((ENDPOINT, {"shop"}), (dataclasses.replace(ENDPOINT, kubernetes=True), set())):
        hosts = envoy_routes.mirrors([endpoint])["resources"][0]["virtual_hosts"]
        found = [*rules(endpoint), *(route for host in hosts for route in host["routes"])]
        limits = [rule["typed_per_filter_config"] for rule in found if "route" in rule]
        assert len(limits) == 6
        buckets = {
            limit[envoy_routes.BANDWIDTH][which]["bucket_id"]
            for limit in limits
            if limit
            for which in ("request_limit", "response_limit")
        }
        assert buckets == expected


def test_the_version_changes_exactly_when_the_routes_do() -> None:
    """It is how the gateway is seen to have taken them."""
    same = xds.Endpoint("shop", ("key1", "key2"), {"blue": 70, "green": 30}, {}, {"blue": BLUE, "green": GREEN})
    other = xds.Endpoint("shop", ("key1", "key2"), {"blue": 69, "green": 31}, {}, {"blue": BLUE, "green": GREEN})
    assert envoy_routes.live([ENDPOINT])["version_info"] == envoy_routes.live([same])["version_info"]
    assert envoy_routes.live([ENDPOINT])["version_info"] != envoy_routes.live([other])["version_info"]


def forwards(endpoint: xds.Endpoint) -> list[xds.Resource]:
    """The routes that follow the traffic."""
    return [rule for rule in rules(endpoint) if "runtime_fraction" in rule["match"]]
