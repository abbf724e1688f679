"""The smoke test where the endpoint, its key or the way to it fails: that says nothing of the candidate."""

from typing import Any

import pytest

from saferollout.domain.errors import AzureFailed
from tests.support.smoke_test import SmokeTest, check


async def test_an_endpoint_out_of_reach_says_nothing_of_the_candidate(smoke_test: SmokeTest, endpoint: Any) -> None:
    """No connection is a failure of the network, worth another try, and no failed request of the candidate."""
    endpoint.uri = "http://127.0.0.1:1/score"

    with pytest.raises(AzureFailed, match="the endpoint gave no answer: ConnectError") as caught:
        await smoke_test()

    assert caught.value.retryable


@pytest.mark.parametrize("status", [429, 503])
async def test_an_endpoint_that_fails_for_live_too_says_nothing_of_the_candidate(
    smoke_test: SmokeTest, endpoint: Any, status: int
) -> None:
    """A throttled or failing endpoint is worth another try; where live answers, it is the candidate that fails."""

    def fail(number: float) -> Any:
        return endpoint.reply(status, "later") if number > 3 else [number]

    assert (await smoke_test(fail)).verdict == "failed"
    assert (await smoke_test(fail, fail, max_failed=1)).verdict == "passed"
    with pytest.raises(AzureFailed, match=f"the endpoint fails for the live deployment, too: {status} later") as caught:
        await smoke_test(fail, fail)
    assert caught.value.retryable


async def test_a_key_that_is_refused_says_nothing_of_the_candidate(smoke_test: SmokeTest) -> None:
    """After a key was changed, both deployments' answers are a 401, which a retry with the new key cures."""
    with pytest.raises(AzureFailed, match="no longer accepts its own key or token: 401") as caught:
        await smoke_test(key="the old key")

    assert (caught.value.status, caught.value.retryable) == (401, True)


async def test_a_candidate_that_refuses_by_itself_fails(smoke_test: SmokeTest, endpoint: Any) -> None:
    """In a Kubernetes cluster a container's own 401 is passed on; the key is asked for once, in case it was changed."""
    asked = []

    async def renew() -> str:
        asked.append(1)
        return "secret"

    evidence = await smoke_test(lambda _: endpoint.reply(401, "who are you?"), renew=renew)

    line = check(evidence, "failed requests")
    assert (evidence.verdict, line.candidate, line.live) == ("failed", "4 of 4, e.g. 401 who are you?", "0 of 4")
    assert asked == [1]


async def test_an_azure_that_gives_no_new_key_says_nothing_of_the_candidate(smoke_test: SmokeTest) -> None:
    """A key that is changed while Azure is away is Azure's failure, whose own words are told."""

    async def renew() -> str:
        msg = "could not get a key: no connection to Azure"
        raise AzureFailed(msg, retryable=True)

    with pytest.raises(AzureFailed, match="could not get a key: no connection to Azure"):
        await smoke_test(key="the old key", renew=renew)
