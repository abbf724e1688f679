"""What two answers to one request say: how far they are apart, how wrong each is, and which ones they are."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saferollout.config.judge import AnswerConfig, AnswerKind, JudgeConfig, OutputDriftConfig
from saferollout.domain.json_text import comparable
from saferollout.judge import disagreement


def disagreement_of(config: AnswerConfig, answer: Any, expected: Any) -> float | None:
    """How far an answer is from the expected one, in [0, 1]; None where that one has nothing to compare."""
    if lack_of(config, expected):
        return None
    expected = _part(config, expected)
    try:
        answer = _part(config, answer)
    except KeyError:
        return 1.0
    match config.kind:
        case AnswerKind.LABELS:
            return float(disagreement.labels([expected], [answer])[0])
        case AnswerKind.VECTORS:
            return _vectors(expected, answer)
        case AnswerKind.NUMBERS:
            return disagreement.json_values(_number(expected), _number(answer), config.scale)
        case AnswerKind.JSON:
            return disagreement.json_values(expected, answer, config.scale)


def lack_of(config: AnswerConfig, expected: Any) -> str:
    """What an expected answer lacks to be compared with, as the object of *have*; empty where it lacks nothing."""
    try:
        part = _part(config, expected)
    except KeyError:
        return f"no {config.path!r}"
    if config.kind is AnswerKind.VECTORS and _rows(part) is None:
        return f"no vector of numbers{_at(config.path)}"
    return ""


def _part(config: AnswerConfig, answer: Any) -> Any:
    return disagreement.extract(comparable(answer, config.ignore), config.path)


def _at(path: str) -> str:
    return f" at {path!r}" if path else ""


def _number(value: Any) -> Any:
    """A number that a script sends as text, as a number."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _rows(value: Any) -> NDArray[np.float64] | None:
    """A vector or a list of vectors, or an object with a number for each class, as an array of shape (T, N)."""
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list):
        return None
    try:
        rows = np.asarray(value, dtype=np.float64)
    except (ValueError, TypeError, OverflowError):  # text, rows of several lengths, an integer beyond all floats
        return None
    return {1: rows[np.newaxis], 2: rows}.get(rows.ndim)


def _vectors(expected: Any, answer: Any) -> float:
    """The mean over the rows; a class that one of two objects lacks has the value 0 there."""
    if isinstance(expected, dict) and isinstance(answer, dict):
        classes = expected | answer
        expected, answer = ([value.get(name, 0.0) for name in classes] for value in (expected, answer))
    elif isinstance(expected, dict) or isinstance(answer, dict):
        return 1.0
    a, b = _rows(expected), _rows(answer)
    if a is None or b is None or a.shape != b.shape:
        return 1.0
    return float(disagreement.vectors(a, b).mean()) if a.size else 0.0


class Answers:
    """Pairs of answers, as the judge's comparisons of answers take them."""

    def __init__(self, config: JudgeConfig) -> None:
        self._config = config
        sections = {
            "prediction_drift": config.prediction_drift,
            "output_drift": config.output_drift,
            "quality": config.quality,
        }
        self._lacking = {
            name: "no recorded request was answered by both deployments"
            for name, section in sections.items()
            if section
        }

    @property
    def lacking(self) -> tuple[str, ...]:
        """Each configured comparison that has compared nothing so far, with the reason."""
        return tuple(f"{name.replace('_', ' ')}: {why}" for name, why in self._lacking.items())

    def compared(self, answered: Iterable[tuple[Any, Any, Any]]) -> dict[str, Any]:
        """The parts of a `Batch` that come from (true answer, candidate's answer, live answer) of each request."""
        config, answered = self._config, list(answered)
        parts: dict[str, Any] = {}
        if drift := config.prediction_drift:
            apart = [disagreement_of(drift, candidate, live) for _, candidate, live in answered]
            parts["disagreements"] = [value for value in apart if value is not None]
            lacks = [
                "" if value is not None else lack_of(drift, live)
                for value, (*_, live) in zip(apart, answered, strict=True)
            ]
            self._note("prediction_drift", lacks, "no pair could be compared: live answers have")
        if quality := config.quality:
            known = [(truth, *pair) for truth, *pair in answered if truth is not None]
            losses = [[disagreement_of(quality, answer, truth) for answer in pair] for truth, *pair in known]
            known_losses = [
                (candidate, live) for candidate, live in losses if candidate is not None and live is not None
            ]
            parts["candidate_losses"] = [candidate for candidate, _ in known_losses]
            parts["live_losses"] = [live for _, live in known_losses]
            lacks = [
                "" if loss is not None else lack_of(quality, truth)
                for (loss, _), (truth, *_) in zip(losses, known, strict=True)
            ]
            self._note("quality", lacks, "no answer could be compared: the true answers have")
            if answered and not known and "quality" in self._lacking:
                self._lacking["quality"] = "no recorded request that was answered has a true answer"
        if outputs := config.output_drift:
            lacks = [_lack_to_count(outputs, live) for *_, live in answered]
            counted = [pair for (_, *pair), lack in zip(answered, lacks, strict=True) if not lack]
            parts["candidate_answers"] = [_counted(outputs, candidate) for candidate, _ in counted]
            parts["live_answers"] = [_counted(outputs, live) for _, live in counted]
            self._note("output_drift", lacks, "no answer could be counted: live answers have")
        return parts

    def _note(self, name: str, lacks: list[str], sentence: str) -> None:
        """Remember why nothing was compared, until something is."""
        if "" in lacks:
            self._lacking.pop(name, None)
        elif lacks and name in self._lacking:
            self._lacking[name] = f"{sentence} {lacks[0]}"


def _lack_to_count(config: OutputDriftConfig, live: Any) -> str:
    try:
        part = disagreement.extract(comparable(live), config.path)
    except KeyError:
        return f"no {config.path!r}"
    fits = part is None or (disagreement.is_number(part) if config.borders else isinstance(part, str | int | float))
    return "" if fits else f"no {'number' if config.borders else 'label'}{_at(config.path)}"


def _counted(config: OutputDriftConfig, answer: Any) -> Any:
    """The part of an answer that is counted, as a label or a number; what is neither falls into the last bucket."""
    try:
        part = disagreement.extract(comparable(answer), config.path)
    except KeyError:
        part = None
    if config.borders:
        try:
            return float(part) if disagreement.is_number(part) else np.nan
        except OverflowError:  # JSON's integers have no end
            return np.nan
    return part if isinstance(part, str | int | float | bool) else None
