"""Azure in trouble in the middle of a rollout: the users get the live deployment back all the same."""

from contextlib import closing

from localazure.chaos import Chaos
from tests.stack import Endpoint, Stack, phase_of


def test_failure_right_after_the_answer_goes_back(stack: Stack, endpoint: Endpoint) -> None:
    """Refused by Azure before it could take up its work again, the resumed run still knows what it had begun.

    The rollback meets an Azure that is down for longer than a step's tries, and insists.
    """
    run = endpoint.submit(endpoint.config(stages=endpoint.stages(approval_at=100)))
    stack.until(run, "Suspended")
    assert endpoint.state().traffic == {"blue": 90, "green": 10}
    path = f"onlineEndpoints/{endpoint.name}"
    with (
        closing(Chaos(stack.env)) as chaos,
        chaos.answer(403, method="GET", path=path) as refused,
        chaos.answer(503, method="PUT", path=path, times=12) as down,
    ):
        stack.cli("approve", run, "--by", "Ada")
        shown = stack.until(run, "Failed")
        assert (refused.hits, down.hits) == (1, 12)

    assert shown["state"]["message"].startswith(f"rolled back: could not read endpoint {endpoint.name}: ")
    state = endpoint.state()
    assert state.traffic == {"blue": 100}
    assert state.deployments["blue"].instance_count == 1
    assert phase_of(endpoint) is None
