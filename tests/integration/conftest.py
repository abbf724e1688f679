"""What tests that run flows in their own process need."""

import gc


def pytest_collection_finish() -> None:
    """Take what is there before the first test out of the collector's sight.

    That is half a million objects, which each collection, as after a test that runs flows, would look through: 0.4
    seconds.
    """
    gc.freeze()
