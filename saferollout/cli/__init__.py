"""The command line."""

import sys

from saferollout.errors import ConfigError, SaferolloutError


def main() -> None:
    """Run a command; every failure on purpose becomes one clear message and its exit code."""
    from saferollout.cli.commands import app

    try:
        app()
    except ConfigError as error:
        for problem in error.problems:
            print(f"error: {problem}", file=sys.stderr)
        sys.exit(error.exit_code)
    except SaferolloutError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
