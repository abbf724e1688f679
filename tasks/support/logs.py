"""Failures on purpose are logged in one line in Prefect's logs; their traceback is for DEBUG."""

import logging

from saferollout.domain.errors import SaferolloutError


def drop_traceback(record: logging.LogRecord) -> bool:
    """A logging filter that lets every record pass, and takes the traceback out of those that need none."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, SaferolloutError) and not logging.getLogger(record.name).isEnabledFor(logging.DEBUG):
        record.exc_info = None
    return True


for _name in ("prefect.flow_runs", "prefect.task_runs"):
    logging.getLogger(_name).addFilter(drop_traceback)
