import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_padellm.evaluation.calibration import calibration

PAIRS = st.lists(st.tuples(st.floats(0, 1), st.booleans()))
N_BINS = st.integers(1, 20)


def calibrate(pairs, **settings):
    return calibration([p for p, _ in pairs], [right for _, right in pairs], **settings)


def test_by_hand():
    found = calibration([0.95, 0.85, 0.15, 0.12, 0.1], [True, False, False, True, False], n_bins=2)
    low, high = found.bins
    assert (low.low, low.high, low.n) == (0.0, 0.5, 3)
    assert low.probability == pytest.approx(0.37 / 3)
    assert low.accuracy == pytest.approx(1 / 3)
    assert (high.n, high.accuracy, high.probability) == (2, 0.5, pytest.approx(0.9))
    assert found.expected_error == pytest.approx(3 / 5 * (1 / 3 - 0.37 / 3) + 2 / 5 * 0.4)
    squares = [0.05**2, 0.85**2, 0.15**2, 0.88**2, 0.1**2]
    assert found.brier == pytest.approx(sum(squares) / 5)


def test_bounds_belong_to_the_upper_bin_and_one_to_the_last():
    bounds = [i / 10 for i in range(10)]
    found = calibration([*bounds, 1.0], [True] * 11)
    assert [part.n for part in found.bins] == [1] * 9 + [2]
    below = calibration([math.nextafter(bound, 0) for bound in bounds[1:]], [True] * 9)
    assert [part.n for part in below.bins] == [1] * 9 + [0]


@given(PAIRS, N_BINS)
def test_errors_are_shares_and_no_span_is_lost(pairs, n_bins):
    found = calibrate(pairs, n_bins=n_bins)
    assert found.n == len(pairs)
    assert len(found.bins) == n_bins
    if pairs:
        assert 0 <= found.expected_error <= 1
        assert 0 <= found.brier <= 1
        assert found.expected_error <= max(part.gap for part in found.bins) + 1e-12


@given(PAIRS, st.randoms(), N_BINS)
def test_order_does_not_matter(pairs, random, n_bins):
    shuffled = list(pairs)
    random.shuffle(shuffled)
    assert calibrate(shuffled, n_bins=n_bins) == calibrate(pairs, n_bins=n_bins)


@given(PAIRS.filter(bool), st.integers(1, 5))
def test_repeating_all_spans_changes_no_mean(pairs, times):
    once, often = calibrate(pairs), calibrate(pairs * times)
    assert often.expected_error == pytest.approx(once.expected_error, abs=1e-12)
    assert often.brier == pytest.approx(once.brier, abs=1e-12)


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 4)), min_size=1))
def test_perfectly_calibrated_bins_have_no_error(tenths):
    """Of 10·m spans of probability k/10, k·m are right."""
    pairs = [(k / 10, i < k * multiple) for k, multiple in tenths for i in range(10 * multiple)]
    assert calibrate(pairs).expected_error == pytest.approx(0, abs=1e-12)


@given(st.lists(st.booleans(), min_size=1))
def test_certain_and_right(outcomes):
    sure = calibration([float(right) for right in outcomes], outcomes)
    assert (sure.expected_error, sure.brier) == (0, 0)
    opposite = calibration([float(not right) for right in outcomes], outcomes)
    assert (opposite.expected_error, opposite.brier) == (1, 1)


def test_interval_by_hand():
    """8 of 10 right: (p + z²/2n ± z·sqrt(p(1 - p)/n + z²/4n²)) / (1 + z²/n)."""
    (part,) = calibration([0.5] * 10, [True] * 8 + [False] * 2, n_bins=1).bins
    assert part.interval == pytest.approx((0.4901625, 0.9433178), abs=1e-6)


@given(PAIRS.filter(bool), N_BINS)
def test_intervals_hold_the_accuracy_and_narrow_with_more_spans(pairs, n_bins):
    once, often = calibrate(pairs, n_bins=n_bins), calibrate(pairs * 4, n_bins=n_bins)
    for part, same in zip(once.bins, often.bins):
        if not part.n:
            assert part.interval is None
            continue
        low, high = part.interval
        assert 0 <= low <= part.accuracy <= high <= 1
        assert same.interval[1] - same.interval[0] < high - low


def test_nothing_to_calibrate():
    found = calibration([], [])
    assert (found.n, found.expected_error, found.brier) == (0, None, None)
    assert all(part.probability is None and part.accuracy is None for part in found.bins)


def test_as_a_dict():
    found = calibration([0.25, 0.75], [False, True], n_bins=2).to_dict()
    assert found == {
        "n": 2,
        "ece": 0.25,
        "brier": 0.0625,
        "bins": [
            {
                **{"low": 0.0, "high": 0.5, "n": 1, "probability": 0.25, "accuracy": 0.0},
                "interval": [0.0, pytest.approx(0.7934507)],
            },
            {
                **{"low": 0.5, "high": 1.0, "n": 1, "probability": 0.75, "accuracy": 1.0},
                "interval": [pytest.approx(0.2065493), 1.0],
            },
        ],
    }


@pytest.mark.parametrize("probability", [-0.1, 1.0001, math.nan, math.inf])
def test_no_probability(probability):
    with pytest.raises(ValueError, match="must be a number from 0 to 1"):
        calibration([0.5, probability], [True, True])


def test_lengths_and_bins_are_checked():
    with pytest.raises(ValueError, match="not 1 outcomes for 2 probabilities"):
        calibration([0.5, 0.5], [True])
    with pytest.raises(ValueError, match="1 bin or more, not 0"):
        calibration([0.5], [True], n_bins=0)
