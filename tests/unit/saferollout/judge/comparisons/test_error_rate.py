"""The test on the ratio of two error rates."""

import itertools
import json
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saferollout.judge import ErrorRate, Verdict
from saferollout.judge.betting.event_rates import HARM_RATIOS, HEALTH_RATIOS, HEALTH_WEIGHTS, log_bets

BATCHES = [(10, 2, 90, 1), (30, 1, 70, 0), (50, 4, 50, 2)]


def exact(
    batches: list[tuple[int, int, int, int]], null: Fraction, alternatives: list[tuple[Fraction, Fraction]]
) -> Fraction:
    """Return the mixture of likelihood ratios in fractions: the product over errors of how likely they fell so."""
    total = Fraction(0)
    for weight, theta in alternatives:
        product = weight
        for n_c, e_c, n_b, e_b in batches:
            share = Fraction(n_c, n_c + n_b)

            def chance(ratio: Fraction, share: Fraction = share) -> Fraction:
                return share * ratio / (share * ratio + 1 - share)

            product *= (chance(theta) / chance(null)) ** e_c
            product *= ((1 - chance(theta)) / (1 - chance(null))) ** e_b
        total += product
    return total


def test_one_batch_by_hand() -> None:
    """Half the requests each, θ₀ = 1, θ₁ = 3: a candidate's error is worth 3/2, a live one 1/2."""
    log_a, log_b = log_bets(1.0, 3.0, 0.5, 0.0)

    assert math.exp(log_a) == pytest.approx(1.5)
    assert math.exp(log_b) == pytest.approx(0.5)


@pytest.mark.parametrize("margin", [0.0, 0.5])
def test_harm_is_the_exact_mixture_of_likelihood_ratios(margin: float) -> None:
    """Without autocorrelation and reserve E equals a product in fractions, for a share that changes by batch."""
    test = ErrorRate(margin=margin, delta=1.0, autocorrelation=0, reserve=0)
    null = Fraction(1) + Fraction(margin)
    ratios = [Fraction(ratio) for ratio in HARM_RATIOS if ratio > null]

    for batch in BATCHES:
        test.update(*batch)

    assert test.e_value == pytest.approx(float(exact(BATCHES, null, [(Fraction(1, len(ratios)), r) for r in ratios])))


def test_health_is_the_exact_mixture_with_the_roles_swapped() -> None:
    """The evidence for health is the likelihood of ratios up to one against 1 + δ, in fractions."""
    test = ErrorRate(delta=0.5, autocorrelation=0)
    alternatives = [(Fraction(w), Fraction(r)) for w, r in zip(HEALTH_WEIGHTS, HEALTH_RATIOS, strict=True)]

    for batch in BATCHES:
        test.update(*batch)

    assert test.e_value_healthy == pytest.approx(float(exact(BATCHES, Fraction(3, 2), alternatives)))


@given(
    rate=st.floats(0.01, 0.9),
    theta=st.floats(0.2, 1.0),
    autocorrelation=st.sampled_from([0.0, 0.3]),
    sizes=st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3)), min_size=1, max_size=2),
)
@settings(max_examples=40)
def test_the_mean_under_the_null_is_at_most_one(
    rate: float, theta: float, autocorrelation: float, sizes: list[tuple[int, int]]
) -> None:
    """Over every outcome of small batches with a candidate no worse than live, E is at most one on average, exactly."""
    binomial = [
        [math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]
        for n_c, n_b in sizes
        for n, p in ((n_c, rate * theta), (n_b, rate))
    ]
    mean = 0.0
    for counts in itertools.product(*(range(len(chances)) for chances in binomial)):
        test = ErrorRate(autocorrelation=autocorrelation)
        test.update_many([n for n, _ in sizes], counts[::2], [n for _, n in sizes], counts[1::2])
        mean += math.prod(chances[k] for chances, k in zip(binomial, counts, strict=True)) * test.e_value

    assert mean <= 1 + 1e-9


@pytest.mark.slow
def test_the_mean_stays_at_most_one_over_a_long_watch() -> None:
    """In 3,000 simulated watches of a healthy candidate the mean e-value at the end is one within three errors."""
    rng = np.random.default_rng(11)
    n_c, n_b = np.full(40, 25.0), np.full(40, 75.0)
    ends = []
    for _ in range(3000):
        test = ErrorRate(autocorrelation=0.0)
        test.update_many(n_c, rng.binomial(25, 0.02, 40), n_b, rng.binomial(75, 0.02, 40))
        ends.append(test.e_value)

    assert np.mean(ends) <= 1 + 3 * np.std(ends) / math.sqrt(len(ends))


@pytest.mark.slow
def test_false_alarms_stay_below_alpha() -> None:
    """Of 1,000 healthy candidates fewer than 5 % plus three standard errors are ever called harmful."""
    rng = np.random.default_rng(12)
    n_c, n_b = np.full(300, 10.0), np.full(300, 90.0)
    alarms = 0
    for _ in range(1000):
        test = ErrorRate(autocorrelation=0.0)
        verdict = test.update_many(n_c, rng.binomial(10, 0.02, 300), n_b, rng.binomial(90, 0.02, 300))
        alarms += verdict is Verdict.HARMFUL

    assert alarms / 1000 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 1000)


def test_a_bad_candidate_is_caught() -> None:
    """Ten errors in a hundred against one in a hundred is harmful."""
    test = ErrorRate()

    verdict = [test.update(20, 2, 180, 2) for _ in range(30)][-1]

    assert verdict is Verdict.HARMFUL
    assert test.e_value >= 20


def test_a_good_candidate_is_proven_healthy() -> None:
    """With as many errors as live, enough of them prove that the ratio is below 1.5."""
    test = ErrorRate()

    verdict = [test.update(100, 5, 100, 5) for _ in range(80)][-1]

    assert verdict is Verdict.HEALTHY


def test_without_errors_nothing_is_proven() -> None:
    """Two deployments that never fail cannot be distinguished by a ratio, whatever the number of requests."""
    test = ErrorRate()

    assert test.update(1e6, 0, 1e6, 0) is Verdict.UNDECIDED
    assert test.e_value == 1.0


def test_harm_is_final() -> None:
    """Once called harmful a candidate stays so, even if the evidence fades afterwards."""
    test = ErrorRate()
    test.update_many([20] * 30, [2] * 30, [180] * 30, [2] * 30)

    verdict = test.update(10000, 0, 10000, 400)

    assert test.e_value < 1
    assert verdict is Verdict.HARMFUL


def test_health_is_lost_and_turns_into_harm_when_the_candidate_turns_bad() -> None:
    """A candidate that was healthy for long and then fails is undecided soon and harmful after few requests."""
    test = ErrorRate()
    for _ in range(200):
        test.update(100, 2, 100, 2)
    assert test.verdict is Verdict.HEALTHY

    verdicts = [test.update(100, 40, 100, 2) for _ in range(20)]

    assert Verdict.HARMFUL in verdicts
    assert verdicts[-1] is Verdict.HARMFUL


def test_batches_of_one_deployment_wait_for_the_other() -> None:
    """Single requests give the same evidence as the batch that they make up once both deployments were asked."""
    single, batch = ErrorRate(), ErrorRate()

    for counts in [(0, 0, 1, 0), (0, 0, 1, 1), (1, 1, 0, 0), (1, 0, 0, 0)]:
        single.update(*counts)
    batch.update(1, 1, 2, 1)
    batch.update(1, 0, 0, 0)

    assert single.log_e_value == pytest.approx(batch.log_e_value)
    assert single.log_e_value != 0.0


@given(
    counts=st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=25
    ),
    cut=st.integers(0, 25),
)
def test_many_batches_at_once_equal_one_after_the_other(counts: list[tuple[int, int, int, int]], cut: int) -> None:
    """`update_many` gives what single updates give, with one-armed batches anywhere, and across two calls."""
    batches = [(n_c + e_c, e_c, n_b + e_b, e_b) for n_c, e_c, n_b, e_b in counts]
    one, many = ErrorRate(), ErrorRate()

    for batch in batches:
        one.update(*batch)
    for part in (batches[:cut], batches[cut:]):
        many.update_many(*np.array(part, dtype=float).reshape(-1, 4).T)

    assert many.log_e_value == pytest.approx(one.log_e_value)
    assert many.log_e_value_healthy == pytest.approx(one.log_e_value_healthy)
    assert many.interval == pytest.approx(one.interval)
    assert many.verdict is one.verdict


def test_it_goes_on_after_a_restart() -> None:
    """Settings, evidence, totals and half-open batches survive JSON, and further updates give the same."""
    test = ErrorRate(alpha=0.01, margin=0.25, delta=1.0, autocorrelation=0.1, reserve=0.5)
    for batch in [*BATCHES, (3, 1, 0, 0)]:
        test.update(*batch)

    copy = ErrorRate.from_dict(json.loads(json.dumps(test.to_dict())))
    test.update(5, 1, 40, 1)
    copy.update(5, 1, 40, 1)

    assert copy.to_dict() == test.to_dict()
    assert copy.words == test.words


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ((-1, 0, 1, 0), "candidate requests must be a finite number ≥ 0, not -1"),
        ((1, 2, 1, 0), r"candidate errors \(2\) exceed candidate requests \(1\)"),
        ((1, 0, 1, math.nan), "live errors must be a finite number ≥ 0, not nan"),
        ((1, 0, math.inf, 0), "live requests must be a finite number ≥ 0, not inf"),
    ],
)
def test_impossible_counts_are_refused(counts: tuple[float, float, float, float], message: str) -> None:
    """A count that cannot be is refused with what is wrong, and changes nothing."""
    test = ErrorRate()

    with pytest.raises(ValueError, match=message):
        test.update(*counts)
    with pytest.raises(ValueError, match=message):
        test.update_many(*([value] for value in counts))

    assert test.candidate_requests == 0
    assert test.e_value == 1.0


def test_batches_of_different_number_are_refused() -> None:
    """Columns of different lengths are a mistake of the caller."""
    with pytest.raises(ValueError, match="as many batches, not 2 and 1"):
        ErrorRate().update_many([1, 1], [0, 0], [1], [0])
    with pytest.raises(ValueError, match="of one shape"):
        ErrorRate().update_many([1, 1], [0], [1, 1], [0, 0])


@pytest.mark.parametrize(
    "wrong",
    [
        {"alpha": 0},
        {"alpha": 1},
        {"margin": -0.1},
        {"delta": 0},
        {"margin": 1, "delta": 1},
        {"autocorrelation": 1},
        {"reserve": 1},
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, float]) -> None:
    """A setting outside its range is refused by name."""
    with pytest.raises(ValueError, match=" must lie in "):
        ErrorRate(**wrong)


def test_the_finding_in_words() -> None:
    """The sentence says how many requests, the range of the ratio, α and the verdict."""
    test = ErrorRate()
    assert test.words == "after 0 candidate requests and 0 live ones neither has failed (α = 0.05): undecided"

    test.update_many([300] * 6, [9] * 6, [2700] * 6, [28] * 6)

    assert test.words == "after 1,800 candidate requests the error rate is 1.5–5.2× the live one (α = 0.05): harmful"


@pytest.mark.slow
def test_the_interval_covers_the_ratio_at_all_times() -> None:
    """In 300 watches at a ratio of 2 each limit is ever wrong in at most 5 % plus three standard errors."""
    rng = np.random.default_rng(13)
    low_wrong = high_wrong = 0
    for _ in range(300):
        test = ErrorRate(autocorrelation=0.0)
        lows, highs = [], []
        for _ in range(10):
            test.update_many([20.0] * 20, rng.binomial(20, 0.06, 20), [80.0] * 20, rng.binomial(80, 0.03, 20))
            low, high = test.interval
            lows.append(low)
            highs.append(high)
        low_wrong += max(lows) > 2
        high_wrong += min(highs) < 2

    assert low_wrong / 300 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 300)
    assert high_wrong / 300 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 300)


def test_the_forecast_comes_true() -> None:
    """If rates stay as they are, harm is proven after about the forecast number of requests."""
    test = ErrorRate()
    test.update_many([100.0] * 5, [3.0] * 5, [900.0] * 5, [9.0] * 5)
    until_harm, until_health = test.exposure_until()
    assert test.verdict is Verdict.UNDECIDED
    assert until_harm is not None
    assert until_health is None

    more = 0
    while test.verdict is Verdict.UNDECIDED:
        test.update(25, 0.75, 225, 2.25)
        more += 25

    assert more == pytest.approx(until_harm, rel=0.3, abs=50)
