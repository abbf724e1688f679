"""How much the candidate's answer to a request disagrees with the live one, as the config wants it measured."""

from typing import Any

from saferollout.config import AnswerKind, DriftConfig
from saferollout.judge import disagreement


def disagreement_of(config: DriftConfig, candidate: Any, live: Any) -> float | None:
    """The disagreement in [0, 1]; None where the live answer lacks the part to compare: that is not the candidate's."""
    try:
        expected = disagreement.extract(live, config.path)
    except KeyError:
        return None
    try:
        answered = disagreement.extract(candidate, config.path)
    except KeyError:
        return 1.0
    if config.kind is AnswerKind.LABELS:
        return float(disagreement.labels([expected], [answered])[0])
    return disagreement.json_values(expected, answered, config.scale)
