"""Calibration of probabilities: reliability table, expected calibration error, Brier score."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum, sqrt
from typing import Any

N_BINS = 10
Z = 1.959964  # standard normal quantile of a 95 % interval


@dataclass(frozen=True, slots=True)
class Bin:
    """The spans whose probability lies in one interval.

    low (float): Lower bound of the interval, inclusive.
    high (float): Upper bound, exclusive; inclusive in the last interval.
    n (int): Number of spans.
    probability (float | None): Mean probability of the spans, in [0, 1]; None without spans.
    accuracy (float | None): Share of right spans, in [0, 1]; None without spans.
    """

    low: float
    high: float
    n: int
    probability: float | None
    accuracy: float | None

    @property
    def gap(self) -> float:
        """RETURNS (float): |accuracy - mean probability|, in [0, 1]; 0 without spans."""
        if self.probability is None or self.accuracy is None:
            return 0.0
        return abs(self.probability - self.accuracy)

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % score interval of the accuracy (Wilson 1927), for independent spans.

        RETURNS (tuple[float, float] | None): Lower and upper bound, in [0, 1]; None without spans.
        """
        if self.accuracy is None:
            return None
        weight = Z * Z / self.n
        centre = (self.accuracy + weight / 2) / (1 + weight)
        variance = (self.accuracy * (1 - self.accuracy) + weight / 4) / self.n
        half = Z * sqrt(variance) / (1 + weight)
        # at an accuracy of 0 or 1 one bound equals the accuracy, up to rounding
        return min(max(centre - half, 0.0), self.accuracy), max(
            min(centre + half, 1.0), self.accuracy
        )


@dataclass(frozen=True, slots=True)
class Calibration:
    """Reliability table and Brier score of spans.

    bins (tuple[Bin, ...]): The reliability table: intervals of equal width from 0 to 1.
    brier (float | None): Mean squared difference of probability and outcome, in [0, 1]
        (Brier 1950); None without spans.
    """

    bins: tuple[Bin, ...]
    brier: float | None

    @property
    def n(self) -> int:
        """RETURNS (int): Number of spans."""
        return sum(bin_.n for bin_ in self.bins)

    @property
    def expected_error(self) -> float | None:
        """Expected calibration error (Guo et al. 2017, arXiv 1706.04599, eq. 3): the mean of
        |accuracy - mean probability| over the bins, weighted by the share of spans in each bin. On
        few spans it is above 0 even if the probabilities are perfect.

        RETURNS (float | None): In [0, 1]; None without spans.
        """
        if not self.n:
            return None
        return fsum(bin_.n * bin_.gap for bin_ in self.bins) / self.n

    def to_dict(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): n, ece, brier and the reliability table, for JSON."""
        return {
            "n": self.n,
            "ece": self.expected_error,
            "brier": self.brier,
            "bins": [
                {
                    "low": bin_.low,
                    "high": bin_.high,
                    "n": bin_.n,
                    "probability": bin_.probability,
                    "accuracy": bin_.accuracy,
                    "interval": None if bin_.interval is None else list(bin_.interval),
                }
                for bin_ in self.bins
            ],
        }


def calibration(
    probabilities: Sequence[float], right: Sequence[bool], *, n_bins: int = N_BINS
) -> Calibration:
    """Sort probabilities into bins of equal width and compare each bin with its outcomes.

    probabilities (Sequence[float]): Probability of each span, in [0, 1] [spans].
    right (Sequence[bool]): Whether each span is right [spans].
    n_bins (int): Number of intervals of equal width. A probability on a bound between two intervals
        belongs to the upper interval.
    RETURNS (Calibration): The reliability table and the Brier score.
    RAISES (ValueError): The lengths differ, a number is not in [0, 1], or n_bins is below 1.
    """
    if n_bins < 1:
        raise ValueError(f"Calibration needs 1 bin or more, not {n_bins}.")
    if len(probabilities) != len(right):
        raise ValueError(
            f"Calibration needs an outcome for each probability, not {len(right)} outcomes for "
            f"{len(probabilities)} probabilities."
        )
    bounds = [i / n_bins for i in range(n_bins + 1)]
    binned: list[list[tuple[float, bool]]] = [[] for _ in range(n_bins)]
    for probability, outcome in zip(probabilities, right, strict=True):
        if not 0.0 <= probability <= 1.0:  # NaN too
            raise ValueError(f"A probability must be a number from 0 to 1, not {probability!r}.")
        binned[min(bisect_right(bounds, probability), n_bins) - 1].append((probability, outcome))
    bins = tuple(_bin(bounds[i], bounds[i + 1], pairs) for i, pairs in enumerate(binned))
    squares = [(p - outcome) ** 2 for pairs in binned for p, outcome in pairs]
    return Calibration(bins, fsum(squares) / len(squares) if squares else None)


def _bin(low: float, high: float, pairs: Sequence[tuple[float, bool]]) -> Bin:
    if not pairs:
        return Bin(low, high, 0, None, None)
    # fsum: the sum does not depend on the order of the spans
    mean = min(max(fsum(p for p, _ in pairs) / len(pairs), 0.0), 1.0)
    return Bin(low, high, len(pairs), mean, sum(outcome for _, outcome in pairs) / len(pairs))
