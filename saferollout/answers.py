"""What two answers to one request say: how far they are apart, how wrong each is, and which ones they are."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from saferollout.judge import disagreement
from saferollout.judge_config import AnswerConfig, AnswerKind, JudgeConfig, OutputDriftConfig


def disagreement_of(config: AnswerConfig, answer: Any, expected: Any) -> float | None:
    """How far an answer is from the expected one, in [0, 1]; None where that one lacks the part to compare."""
    try:
        expected = disagreement.extract(expected, config.path)
    except KeyError:
        return None
    try:
        answer = disagreement.extract(answer, config.path)
    except KeyError:
        return 1.0
    match config.kind:
        case AnswerKind.LABELS:
            return float(disagreement.labels([expected], [answer])[0])
        case AnswerKind.VECTORS:
            return _vectors(expected, answer)
        case _:
            return disagreement.json_values(expected, answer, config.scale)


def _vectors(expected: Any, answer: Any) -> float:
    try:
        return float(disagreement.vectors([expected], [answer])[0])
    except (ValueError, TypeError):  # no vectors, or of other lengths
        return 1.0


class Answers:
    """Pairs of answers, as the judge's tests of answers take them."""

    def __init__(self, config: JudgeConfig) -> None:
        self._config = config

    def compared(self, answered: Iterable[tuple[Any, Any, Any]]) -> dict[str, Any]:
        """The parts of a `Batch` that come from (true answer, candidate's answer, live answer) of each request."""
        config, answered = self._config, list(answered)
        parts: dict[str, Any] = {}
        if drift := config.prediction_drift:
            apart = [disagreement_of(drift, candidate, live) for _, candidate, live in answered]
            parts["disagreements"] = [value for value in apart if value is not None]
        if quality := config.quality:
            known = [(truth, *pair) for truth, *pair in answered if truth is not None]
            losses = [[disagreement_of(quality, answer, truth) for answer in pair] for truth, *pair in known]
            told = [(candidate, live) for candidate, live in losses if candidate is not None and live is not None]
            parts["candidate_losses"] = [candidate for candidate, _ in told]
            parts["live_losses"] = [live for _, live in told]
        if outputs := config.output_drift:
            parts["candidate_answers"] = [_counted(outputs, candidate) for _, candidate, _ in answered]
            parts["live_answers"] = [_counted(outputs, live) for *_, live in answered]
        return parts


def _counted(config: OutputDriftConfig, answer: Any) -> Any:
    """The part of an answer that is counted, as a label or a number; what is neither falls into the last bucket."""
    try:
        part = disagreement.extract(answer, config.path)
    except KeyError:
        part = None
    if config.borders:
        return float(part) if isinstance(part, int | float) and not isinstance(part, bool) else np.nan
    return part if isinstance(part, str | int | float | bool) else None
