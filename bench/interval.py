"""Medians with their spread, and what it takes for a target to be met."""

from __future__ import annotations

import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

_RESAMPLES = 4_000
_LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    value: float
    low: float
    high: float

    def scaled(self, factor: float) -> Interval:
        return Interval(self.value * factor, self.low * factor, self.high * factor)


def median_interval(values: Sequence[float]) -> Interval:
    """The median, and the 95 % bootstrap interval of it. The same values give the same interval."""
    if not values:
        raise ValueError("nothing was measured")
    source = random.Random(1)
    medians = sorted(statistics.median(source.choices(values, k=len(values))) for _ in range(_RESAMPLES))
    tail = int((1 - _LEVEL) / 2 * _RESAMPLES)
    return Interval(statistics.median(values), medians[tail], medians[-1 - tail])


def ratio_interval(numerators: Sequence[float], denominators: Sequence[float]) -> Interval:
    """The median of the ratios within each round: what the whole machine did in a round falls out of its ratio."""
    return median_interval([top / bottom for top, bottom in zip(numerators, denominators, strict=True)])


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
