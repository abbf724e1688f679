"""The disk, as far as it can be full."""

import errno
import os
import shutil
from pathlib import Path


class Disk:
    """Says that there is no space left while `full` is set, as the system does when there is none."""

    def __init__(self) -> None:
        self.full = False

    def require_space(self) -> None:
        """Check that files of users may be written.

        Raises:
            OSError: ENOSPC where they may not.
        """
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def used_percent(self, path: Path) -> float:
        """Return how much is in use where `path` lies, in percent.

        Raises:
            OSError: There is no such place.
        """
        usage = shutil.disk_usage(path)
        return 100.0 if self.full else 100 * usage.used / usage.total


def is_full(error: OSError) -> bool:
    """Return whether this is what the system says when there is no space left."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)
