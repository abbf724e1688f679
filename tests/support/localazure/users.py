"""Users of an endpoint, who count what they see."""

import collections
import threading
import time
from typing import Self

import httpx

from tests.support.localazure.arm import Arm


class Users:
    """Two users who send one request after the other, each answer checked; what they saw is counted."""

    def __init__(self, arm: Arm, endpoint: str, body: dict[str, float]) -> None:
        self.seen: collections.Counter[tuple[int, str | None]] = collections.Counter()
        self.errors: list[str] = []
        self._stop = threading.Event()
        self._url = arm.get(f"onlineEndpoints/{endpoint}")["properties"]["scoringUri"]
        self._headers = {"Authorization": f"Bearer {arm.key(endpoint)}"}
        self._tls = arm.tls
        self._body = body
        self._threads = [threading.Thread(target=self._send) for _ in range(2)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def some_more(self, count: int = 20) -> None:
        """Wait until they have sent `count` further requests."""
        wanted = self.seen.total() + count
        deadline = time.monotonic() + 30
        while self.seen.total() < wanted and not self.errors:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def _send(self) -> None:
        with httpx.Client(verify=self._tls, headers=self._headers, timeout=10) as http:
            while not self._stop.is_set():
                try:
                    answer = http.post(self._url, json=self._body)
                except httpx.HTTPError as error:
                    self.errors.append(repr(error))
                    return
                self.seen[answer.status_code, answer.headers.get("azureml-model-deployment")] += 1
                if answer.status_code != 200:
                    self.errors.append(f"{answer.status_code} {answer.text}")
