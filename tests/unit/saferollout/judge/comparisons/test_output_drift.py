"""The test on answers without pairs."""

import json
import math

import numpy as np
import pytest

from saferollout.judge import ErrorRate, OutputDrift, Verdict


def test_labels_are_counted_by_bucket() -> None:
    """ "Answers a" is an event like an error; a label never seen before falls into a bucket of its own."""
    drift, ratio = OutputDrift(labels=["a", "b"]), ErrorRate(margin=0.25)

    drift.update(["a", "b", "x"], ["a", "b", "b", "b"])
    ratio.update(3, 1, 4, 1)

    assert drift.log_e_values[2] > drift.log_e_values[0] > drift.log_e_values[1]
    assert "another label" in drift.words


def test_numbers_fall_between_borders() -> None:
    """A border belongs to the bucket below it; NaN counts as above all."""
    drift = OutputDrift(borders=[1.0, 2.0])

    drift.update([1.0, 1.5, 9.0, math.nan], [1.0])

    assert drift.words.startswith("after 4 candidate requests")
    assert drift.to_dict()["state"]["candidate_events"] == [1, 1, 2]


def test_a_shift_is_caught_and_sameness_is_not() -> None:
    """Scores moved by half their spread are harmful; scores from the same distribution are not."""
    rng = np.random.default_rng(14)
    borders = np.quantile(rng.normal(size=2000), np.arange(1, 8) / 8).tolist()
    moved, same = OutputDrift(borders=borders), OutputDrift(borders=borders)

    for _ in range(200):
        moved.update(rng.normal(0.5, 1, 10), rng.normal(size=30))
        same.update(rng.normal(size=10), rng.normal(size=30))

    assert moved.verdict is Verdict.HARMFUL
    assert same.verdict is not Verdict.HARMFUL
    assert "of the answers are" in moved.words


def test_every_bucket_has_a_name() -> None:
    """The words name the bucket that shows most, at either end and between."""
    for answers, name in (([0.0], "at most 1"), ([1.5], "in (1, 2]"), ([3.0], "above 2")):
        drift = OutputDrift(borders=[1.0, 2.0])
        drift.update(answers * 9, [0.0, 1.5, 3.0] * 3)
        assert f"100.0% of the answers are {name} against 33.3%" in drift.words
    drift = OutputDrift(labels=["a", "b"])
    assert drift.words == "after 0 candidate requests there are no answers to compare (α = 0.05): undecided"
    drift.update(["a"], ["b"])
    assert "are 'a' against" in drift.words


def test_it_goes_on_after_a_restart() -> None:
    """Buckets and evidence survive JSON."""
    drift = OutputDrift(borders=[3.0, 1.0], alpha=0.01, margin=0.5, delta=1.0)
    drift.update([1.0], [2.0, 3.5])

    copy = OutputDrift.from_dict(json.loads(json.dumps(drift.to_dict())))
    drift.update([2.0], [2.0])
    copy.update([2.0], [2.0])

    assert copy.to_dict() == drift.to_dict()


def test_answers_need_buckets() -> None:
    """Without buckets (of one kind), or without answers, there is nothing to compare."""
    with pytest.raises(ValueError, match="at least one bucket"):
        OutputDrift()
    with pytest.raises(ValueError, match="either labels or borders"):
        OutputDrift(labels=["a"], borders=[1.0])
    assert OutputDrift(labels=["a"]).update([], []) is Verdict.UNDECIDED
