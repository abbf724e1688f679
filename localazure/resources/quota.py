"""How much there may be: deployments, instances, cores, requests."""

import dataclasses
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from localazure.arm.errors import BadRequest

UPGRADE_RESERVE = 1.2
"""A managed deployment holds cores for a fifth of its instances in reserve, for upgrades."""

_WITHOUT_RESERVE = {
    "standard_nc24ads_a100_v4",
    "standard_nc48ads_a100_v4",
    "standard_nc96ads_a100_v4",
    "standard_nd96asr_v4",
    "standard_nd96amsr_a100_v4",
    "standard_nd40rs_v2",
}
"""VM sizes of which it does not."""

_EXCEEDED = "OutOfQuota"

_CORES_OF_OLD_SIZES = {"ds1": 1, "ds2": 2, "ds3": 4, "ds4": 8, "ds5": 16, "d1": 1, "d2": 2, "d3": 4, "d4": 8, "d5": 16}
"""In the first two generations of the D sizes, the number is a rank; in all others it is the cores."""


class Size(NamedTuple):
    """What a deployment takes from the quota."""

    compute: str
    instance_type: Any
    """The name of a VM size, of a managed deployment."""
    instances: int


@dataclass(frozen=True)
class Quota:
    """The limits of a subscription; the defaults are Azure's."""

    deployments: int = 20
    """How many deployments an endpoint may have."""
    instances: int = 50
    """How many instances a deployment may have."""
    cores: int = 0
    """Of all managed deployments together; 0: as many as one likes, for Azure's own default differs."""
    requests: int = 500
    """Per second and endpoint."""
    bandwidth: int = 5
    """In megabytes per second and endpoint, of requests and answers together."""
    connections: int = 500
    """Open at once; to all endpoints together, for here they share a port."""

    @classmethod
    def parse(cls, settings: Iterable[str]) -> Self:
        """Return the quota that `name=number` each say.

        Raises:
            ValueError: One does not; the message says what would be right.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        values = {}
        for setting in settings:
            name, _, number = setting.partition("=")
            if name not in names or not number.isdigit() or (name != "cores" and not int(number)):
                raise ValueError(
                    f"'{setting}' is not a quota: give {', '.join(names[:-1])} or {names[-1]}, and a number"
                )
            values[name] = int(number)
        return cls(**values)

    def check_deployments(self, others: int) -> None:
        """Check that an endpoint with so many other deployments can have a further one.

        Raises:
            BadRequest: It cannot.
        """
        if others >= self.deployments:
            raise BadRequest(f"An endpoint can have at most {self.deployments} deployments.", _EXCEEDED)

    def check_instances(self, wanted: Size) -> None:
        """Check that a managed deployment has not too many instances.

        Raises:
            BadRequest: It has.
        """
        if wanted.compute == "Managed" and wanted.instances > self.instances:
            raise BadRequest(
                f"The instance count {wanted.instances} exceeds the limit of {self.instances} per deployment.",
                _EXCEEDED,
            )

    def check_cores(self, wanted: Size, others: Iterable[Size]) -> None:
        """Check that there are cores for the deployment `wanted`, next to all `others`.

        Raises:
            BadRequest: There are not.
        """
        needed = cores(wanted)
        if not self.cores or not needed:
            return
        used = sum(map(cores, others))
        if needed + used > self.cores:
            raise BadRequest(
                f"Not enough quota for {wanted.instance_type}. The deployment needs {needed} cores, 20%"
                f" of its instances in reserve included; {max(0, self.cores - used)} of {self.cores} are left.",
                _EXCEEDED,
            )


def cores(deployment: Size) -> int:
    """Return how many cores a deployment takes; Kubernetes deployments take none.

    Raises:
        BadRequest: As `cores_of`.
    """
    if deployment.compute != "Managed":
        return 0
    reserve = 1 if deployment.instance_type.lower() in _WITHOUT_RESERVE else UPGRADE_RESERVE
    return math.ceil(round(reserve * deployment.instances, 6)) * cores_of(deployment.instance_type)


def cores_of(instance_type: str) -> int:
    """Return the cores of a VM size, by its name.

    Raises:
        BadRequest: It is not the name of a VM size.
    """
    match = re.fullmatch(r"standard_([a-z]+)(\d+)[a-z]*(_[a-uw-z]+\d+)?(_v(?P<version>\d+))?", instance_type.lower())
    if not match or not int(match[2]):
        raise BadRequest(f"'{instance_type}' is not an instance type: give the name of a VM size, as Standard_DS3_v2.")
    old = _CORES_OF_OLD_SIZES.get(match[1] + match[2]) if int(match["version"] or 1) <= 2 else None
    return old or int(match[2])
