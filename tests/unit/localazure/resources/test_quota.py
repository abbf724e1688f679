"""Quota: what a deployment takes, and what there is."""

import pytest

from localazure.arm.errors import ArmError
from localazure.resources.quota import Quota, Size, cores, cores_of


def deployment(count: int, instance_type: str = "Standard_DS3_v2", compute: str = "Managed") -> Size:
    """As far as quota goes."""
    return Size(compute, instance_type, count)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ("Standard_DS1_v2", 1),
        ("Standard_DS3_v2", 4),
        ("STANDARD_DS5_V2", 16),
        ("Standard_D3", 4),
        ("Standard_D4s_v3", 4),
        ("Standard_F2s_v2", 2),
        ("Standard_F72s_v2", 72),
        ("Standard_E8s_v3", 8),
        ("Standard_NC6s_v3", 6),
        ("Standard_NC64as_T4_v3", 64),
        ("Standard_NC24ads_A100_v4", 24),
        ("Standard_ND40rs_v2", 40),
        ("Standard_ND96isr_H100_v5", 96),
    ],
)
def test_cores_of_a_size(size: str, expected: int) -> None:
    """By its name, as Azure names sizes."""
    assert cores_of(size) == expected


@pytest.mark.parametrize("size", ["", "small", "Standard", "Standard_", "Standard_DS0_v2", "DS3_v2"])
def test_a_size_that_is_none(size: str) -> None:
    """400, not a guess."""
    with pytest.raises(ArmError, match="not an instance type") as caught:
        cores_of(size)
    assert caught.value.status == 400


@pytest.mark.parametrize(("count", "expected"), [(1, 8), (2, 12), (5, 24), (10, 48), (15, 72), (50, 240)])
def test_a_fifth_more_instances_than_asked_for_count(count: int, expected: int) -> None:
    """Rounded up, and no further: 5 instances are 6, not 7."""
    assert cores(deployment(count)) == expected


def test_of_some_sizes_nothing_is_held_in_reserve() -> None:
    """Those that Azure exempts."""
    assert cores(deployment(5, "Standard_NC24ads_A100_v4")) == 5 * 24
    assert cores(deployment(5, "Standard_NC24s_v3")) == 6 * 24


def test_cores_of_all_managed_deployments_count() -> None:
    """The candidate's come on top of the live one's; Kubernetes' count nothing."""
    quota = Quota(cores=24)
    quota.check_cores(deployment(1), [deployment(1), deployment(1), deployment(20, compute="Kubernetes")])
    quota.check_cores(deployment(50, compute="Kubernetes"), [deployment(2)])
    with pytest.raises(ArmError, match=r"needs 12 cores.*8 of 24 are left") as caught:
        quota.check_cores(deployment(2), [deployment(1), deployment(1)])
    assert (caught.value.status, caught.value.code) == (400, "OutOfQuota")
    Quota().check_cores(deployment(50), [deployment(50)] * 20)


def test_settings_are_read() -> None:
    """What is not given is as on Azure."""
    assert Quota.parse(["cores=24", "requests=5"]) == Quota(20, 50, 24, 5)
    for wrong in ("cores", "cores=many", "cpus=3", "instances=0"):
        with pytest.raises(ValueError, match=wrong):
            Quota.parse([wrong])
