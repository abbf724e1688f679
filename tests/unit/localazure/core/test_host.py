"""Where local Azure is reached."""

import pytest

from localazure.core.host import Host


def test_an_address_is_its_own_name() -> None:
    """A name stands for the address that it leads to, and is what others use."""
    assert Host.named("127.0.0.2") == Host("127.0.0.2", "127.0.0.2")
    assert Host.named("localhost") == Host("localhost", "127.0.0.1")
    assert Host("localhost", "127.0.0.1").authority(443) == "localhost:443"


@pytest.mark.parametrize(
    ("name", "told"),
    [("0.0.0.0", "by which others reach"), ("", "by which others reach"), ("::", "an IPv4"), ("a b", "an IPv4")],  # noqa: S104 - it is refused
)
def test_what_nobody_can_be_sent_to_is_refused(name: str, told: str) -> None:
    """All addresses of the machine are none that could stand in an address or a certificate."""
    with pytest.raises(ValueError, match=told):
        Host.named(name)


def test_only_loopback_is_this_machine_s_alone() -> None:
    """All of 127.0.0.0/8."""
    assert [Host(name, name).is_loopback for name in ("127.0.0.1", "127.1.2.3", "192.0.2.2")] == [True, True, False]
