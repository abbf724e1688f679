"""Where local Azure is reached."""

import ipaddress
import socket
from dataclasses import dataclass
from typing import Self

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Host:
    """What others call it, in addresses and in the certificate, and the IPv4 address that it listens on."""

    name: str = LOOPBACK
    address: str = LOOPBACK

    @classmethod
    def named(cls, name: str) -> Self:
        """Return the host of an address of this machine, or of a name that leads to one.

        Raises:
            ValueError: It is neither; the message says what would be right.
        """
        try:
            address = ipaddress.IPv4Address(socket.gethostbyname(name))
        except (OSError, ValueError) as error:
            raise ValueError(f"'{name}' is neither an IPv4 address nor the name of one") from error
        if address.is_unspecified:
            raise ValueError(f"{name} cannot be reached: give the address by which others reach this machine")
        return cls(name, str(address))

    @property
    def is_loopback(self) -> bool:
        """Whether nobody but this machine reaches it."""
        return ipaddress.IPv4Address(self.address).is_loopback

    def authority(self, port: int) -> str:
        """Return it with a port, as in addresses."""
        return f"{self.name}:{port}"
