"""The mean of an autocorrelated series and how well it is known. Pure; the agent and the tuner both use it.

Step times are autocorrelated, so the spread is taken between the means of groups of neighbours (whole rounds of the
workers, whose batches arrive in clumps) and not between single steps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev

GROUPS = 8
"""Groups of neighbouring steps; more leave groups too short to be independent."""

# Two-sided Student t quantiles by degrees of freedom, for 90 %, 95 % and 99 % intervals.
_T = {
    0.90: (6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833, 1.812),
    0.95: (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    0.99: (63.657, 9.925, 5.841, 4.604, 4.032, 3.707, 3.499, 3.355, 3.250, 3.169),
}
_NORMAL = {0.90: 1.645, 0.95: 1.960, 0.99: 2.576}


def t_quantile(confidence: float, degrees: int) -> float:
    """Return the two-sided Student t quantile for 0.90, 0.95 or 0.99."""
    table = _T[confidence]
    if degrees < 1:
        return math.inf
    if degrees <= len(table):
        return table[degrees - 1]
    # Between 10 degrees and the normal limit the quantile falls as 1/degrees.
    return _NORMAL[confidence] + (table[-1] - _NORMAL[confidence]) * len(table) / degrees


def mean_and_half_width(
    values: Sequence[float], confidence: float, round_length: int = 1, least_groups: int = 2
) -> tuple[float, float]:
    """Return the mean of a series and the half-width of its interval, which is infinite where too few groups tell.

    Args:
        values: the series, in order; not empty.
        confidence: 0.90, 0.95 or 0.99.
        round_length: groups hold whole multiples of this many values (the number of workers).
        least_groups: fewer groups than this (at least 2) give no interval.
    """
    size = max(round_length, round_length * math.ceil(len(values) / (GROUPS * round_length)))
    groups = [fmean(values[i : i + size]) for i in range(0, len(values) - size + 1, size)]
    if len(groups) < max(2, least_groups):
        return fmean(values), math.inf
    return fmean(values), t_quantile(confidence, len(groups) - 1) * stdev(groups) / math.sqrt(len(groups))
