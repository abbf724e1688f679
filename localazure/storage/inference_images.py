"""Microsoft's own inference images, as far as they are known to hold nothing but Python and the inference server."""

import re
from typing import Any

_MINIMAL = re.compile(r"(?:.*/)?minimal-(?:[\w.]+-)?py(\d)(\d+)(?:-cpu)?-inference(?:[:@/].*)?")


def conda_of_image(name: str) -> dict[str, Any] | None:
    """Return the conda file that makes the same of the image `name`, or of the curated environment; None for others."""
    match = _MINIMAL.fullmatch(name)
    return {"dependencies": [f"python={match[1]}.{match[2]}"]} if match else None
