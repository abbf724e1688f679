"""The smoke test, run on deployments that a test makes."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from saferollout.config.recorded_requests import RecordedRequest
from saferollout.config.rollout import SmokeTestConfig
from saferollout.domain.evidence import Evidence
from saferollout.gates import smoke_test as smoke
from saferollout.gates.scoring import Scorer
from tests.support.smoke_test import REQUESTS, SmokeTest, right


@pytest.fixture
def smoke_test(endpoint: Any) -> SmokeTest:
    """Run the smoke test on a candidate and a live deployment, each a function from a number to an answer's body."""

    def deployed(body: Callable[[float], Any]) -> Callable[[Any], Any]:
        def reply(request: Any) -> Any:
            answer = body(request["data"])
            return answer if hasattr(answer, "status") else endpoint.reply(200, answer)

        return reply

    async def run(
        candidate: Callable[[float], Any] = right,
        live: Callable[[float], Any] = right,
        requests: list[RecordedRequest] = REQUESTS,
        schema: dict[str, Any] | None = None,
        key: str = "secret",
        renew: Callable[[], Awaitable[str]] | None = None,
        **config: Any,
    ) -> Evidence:
        endpoint.deployments = {"green": deployed(candidate), "blue": deployed(live)}
        async with Scorer(endpoint.uri, key, renew=renew) as scorer:
            return await smoke.run(
                scorer, requests, SmokeTestConfig(**config), candidate="green", live="blue", answer_schema=schema
            )

    return run
