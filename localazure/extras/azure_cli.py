"""The variables by which azure-cli is at home here, and leaves the user's logins to Azure alone."""

import os
from pathlib import Path


def environment(home: Path) -> dict[str, str]:
    """Return them. azure-cli keeps in `home` what it knows: the cloud, whose addresses may be others now, is forgotten.

    In the user's own place it would choose this cloud for good, and no longer find Azure in other shells. Extensions
    are taken from there.
    """
    home.mkdir(mode=0o700, exist_ok=True)
    (home / "cloudEndpoints.json").unlink(missing_ok=True)
    usual = os.environ.get("AZURE_CONFIG_DIR") or os.path.expanduser("~/.azure")  # noqa: PTH111 - as azure-cli finds it
    extensions = os.environ.get("AZURE_EXTENSION_DIR") or str(Path(usual) / "cliextensions")
    return {
        "AZURE_CORE_INSTANCE_DISCOVERY": "false",  # it would ask Microsoft whether this is an authority
        "AZURE_CONFIG_DIR": str(home),
        "AZURE_EXTENSION_DIR": extensions,
    }
