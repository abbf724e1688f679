"""The list of what waits for an approval."""

import uuid
from datetime import UTC, datetime

from saferollout_cli.listing import Waiting


def test_the_share_is_called_stage_in_json() -> None:
    """Programs read the share that is asked for under that name."""
    waiting = Waiting(
        flow_run=uuid.UUID(int=1),
        name="run",
        endpoint="shop",
        share=10,
        question="Give green 10%?",
        evidence="",
        digest="0123456789ab",
        since=datetime(2025, 1, 2, tzinfo=UTC),
        until=None,
        link="",
    )

    kept = waiting.model_dump(mode="json")

    assert (kept["stage"], "share" in kept) == (10, False)
