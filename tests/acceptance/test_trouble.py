"""Azure in trouble in the middle of a rollout: the users get the live deployment back all the same."""

import signal
import time
from contextlib import closing
from pathlib import Path

from localazure.chaos import Chaos
from tests.support.stack import Endpoint, Stack, phase_of, started, wait_for

LIMIT_S = 180
"""A step's five tries, each with the SDK's own four, on a busy machine; a rollback would insist for 45 minutes."""


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


def test_a_run_that_began_nothing_has_nothing_to_roll_back(stack: Stack, tmp_path: Path) -> None:
    """Without an endpoint it is refused, with what to do; where Azure is down from the first call on, it ends soon.

    So does one that is interrupted then. None of them speaks of a rollback: no record was written.
    """
    endpoint = Endpoint(stack, "nowhere", tmp_path)
    (tmp_path / "endpoint.yml").write_text("name: nowhere\nauth_mode: key\n")
    config = str(endpoint.config())

    output = stack.cli("run", config, code=1)

    assert "endpoint nowhere does not exist; create it with `saferollout bootstrap`" in output
    assert "rolled back" not in output

    with closing(Chaos(stack.env)) as chaos, chaos.answer(503, path="onlineEndpoints/nowhere", times=None) as down:
        begun = time.monotonic()
        output = stack.cli("run", config, code=3)
        assert down.hits > 0
        assert time.monotonic() - begun < LIMIT_S

        hits = down.hits
        with started(stack.command("run", config), stack.env) as interrupted:
            wait_for("a call that failed", lambda: down.hits > hits or None)
            interrupted.send_signal(signal.SIGINT)
            _, errors = interrupted.communicate(timeout=60)
        assert interrupted.returncode == 1, errors
        assert "error: interrupted; nothing was begun" in errors

    assert "nothing was begun: start the rollout again when Azure answers" in output
    assert "rolled back" not in output
