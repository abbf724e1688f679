"""VM sizes, and how many cores of their families may be used: Azure's quota."""

import math

from saferollout.domain.endpoint import Value

UPGRADE_RESERVE = 1.2
"""For upgrades, Azure counts a fifth more instances of a managed deployment than it has."""

WITHOUT_RESERVE = frozenset(
    {
        "standard_nc24ads_a100_v4",
        "standard_nc48ads_a100_v4",
        "standard_nc96ads_a100_v4",
        "standard_nd96asr_v4",
        "standard_nd96amsr_a100_v4",
        "standard_nd40rs_v2",
    }
)
"""VM sizes of which it does not, from Azure's list of sizes for managed endpoints."""


class VmSize(Value):
    """A VM size, as far as quota goes."""

    name: str
    family: str
    """The quota is the family's."""
    cores: int
    """How many cores one instance has."""
    used: int
    """Cores of the whole family in the region, of whatever uses them."""
    limit: int | None
    """Cores that the whole family may have in the region; None if there is no limit."""

    def cores_of(self, instance_count: int) -> int:
        """How many cores Azure counts for a deployment with so many instances."""
        reserve = 1 if self.name.lower() in WITHOUT_RESERVE else UPGRADE_RESERVE
        return math.ceil(round(reserve * instance_count, 6)) * self.cores
