"""Boundaries: where a step begins and ends a test may let something go wrong."""

import functools
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from saferollout.domain.fault_points import BEGINS, ENDS, Step, reach

P = ParamSpec("P")
R = TypeVar("R")


def bounded(step: Step) -> Callable[[Callable[P, Coroutine[Any, Any, R]]], Callable[P, Coroutine[Any, Any, R]]]:
    """Decorate a step's function, below `task`: its beginning and its end are fault points."""

    def decorate(work: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, Coroutine[Any, Any, R]]:
        @functools.wraps(work)
        async def do(*arguments: P.args, **named: P.kwargs) -> R:
            reach(step, BEGINS)
            result = await work(*arguments, **named)
            reach(step, ENDS)
            return result

        return do

    return decorate
