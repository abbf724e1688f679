"""The users: steady requests to the endpoint in a process of their own, every answer checked.

`python -m saferollout_cli.demo.users '{"uri": …, "requests": …, "requests_per_s": …, "tolerance": …}'` with the key
in the environment variable USERS_KEY. Prints its counts as a JSON line about every second, and the last one at SIGTERM
after all answers are there.
"""

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from saferollout.config.recorded_requests import RecordedRequest, read_requests
from saferollout.gates.scoring import Scorer
from saferollout.gates.smoke_test import distance

MAX_IN_FLIGHT = 50


class Users:
    """What all users got so far."""

    def __init__(self, tolerance: float) -> None:
        self._tolerance = tolerance
        self.total = 0
        self.failed = 0
        self.by_deployment: Counter[str] = Counter()
        self.examples: list[str] = []

    async def send(self, scorer: Scorer, request: RecordedRequest) -> None:
        """Send one request and check its answer; whatever fails is a failed request."""
        deployment = ""
        try:
            answer = await scorer.score(request)
            deployment, problem = answer.deployment, answer.error
            is_known = request.answer is not None
            if answer.ok and is_known and distance(answer.body, request.answer) > self._tolerance:
                problem = f"wrong answer {json.dumps(answer.body)[:80]}"
        except Exception as error:  # noqa: BLE001  # nobody looks at the task's own: it would be in no count
            problem = f"{type(error).__name__}: {error}"
        self.total += 1
        self.by_deployment[deployment or "?"] += 1
        if problem:
            self.failed += 1
            self.examples = ([*self.examples, f"{deployment}: {problem}"])[-3:]

    def line(self) -> str:
        """The counts as JSON."""
        return json.dumps(
            {"total": self.total, "failed": self.failed, "by_deployment": self.by_deployment, "examples": self.examples}
        )


async def main(arguments: dict[str, Any]) -> None:
    """Send until SIGTERM."""
    requests = read_requests(Path(arguments["requests"]))
    users = Users(arguments["tolerance"])
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    interval_s = 1 / arguments["requests_per_s"]
    flying: set[asyncio.Task[None]] = set()
    async with Scorer(arguments["uri"], os.environ["USERS_KEY"]) as scorer:
        clock = asyncio.get_running_loop().time
        next_at = printed_at = clock()
        sent = 0
        while not ended.is_set():
            if len(flying) < MAX_IN_FLIGHT:
                task = asyncio.create_task(users.send(scorer, requests[sent % len(requests)]))
                flying.add(task)
                task.add_done_callback(flying.discard)
                sent += 1
            if clock() > printed_at + 1:
                print(users.line(), flush=True)
                printed_at = clock()
            next_at = max(next_at + interval_s, clock())
            try:
                await asyncio.wait_for(ended.wait(), next_at - clock())
            except TimeoutError:
                continue
        await asyncio.gather(*flying)
    print(users.line(), flush=True)


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
