"""Where the steps of a burst lay in time, and arithmetic on intervals. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeGuard

import msgspec

from gputune.probes.burst import Burst, StallKind

Interval = tuple[float, float]
"""Start and end in seconds of ``CLOCK_MONOTONIC``."""


def measured(burst: Burst | None) -> TypeGuard[Burst]:
    """Whether a burst is there and holds measured time; all other numbers divide by it."""
    return burst is not None and sum(burst.period_s) > 0


class Step(msgspec.Struct, frozen=True):
    """One measured period: busy from ``start_s`` to ``wait_from_s``, then waiting until ``end_s``."""

    start_s: float
    wait_from_s: float
    end_s: float
    samples: int


def between_periods(burst: Burst) -> list[Interval]:
    """Return the epoch ends and validations, which the arrays leave out, as disjoint intervals in order."""
    kinds = (StallKind.EPOCH, StallKind.VALIDATION)
    return union((s.start_s, s.start_s + s.duration_s) for s in burst.stalls if s.kind in kinds)


def measured_from_s(burst: Burst) -> float:
    """Return when the first measured period began: a burst ends with its last one, warm-up lies before."""
    start_s = burst.end_s - sum(burst.period_s)
    for gap in reversed(between_periods(burst)):
        if gap[1] > start_s:
            start_s -= gap[1] - gap[0]
    return max(burst.start_s, start_s)


def steps(burst: Burst) -> list[Step]:
    """Return the measured periods laid end to end around the epoch ends and validations."""
    cursor, gaps, found = measured_from_s(burst), between_periods(burst), []
    for period_s, wait_s, samples in zip(burst.period_s, burst.wait_s, burst.samples, strict=True):
        while gaps and gaps[0][0] < cursor + period_s / 2:
            cursor = max(cursor, gaps.pop(0)[1])
        end_s = cursor + period_s
        found.append(Step(cursor, end_s - wait_s, end_s, samples))
        cursor = end_s
    return found


def union(intervals: Iterable[Interval]) -> list[Interval]:
    """Return disjoint intervals in order that cover the same moments."""
    merged: list[Interval] = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        elif end > start:
            merged.append((start, end))
    return merged


def subtract(intervals: list[Interval], holes: list[Interval]) -> list[Interval]:
    """Return the moments of ``intervals`` that lie in no hole; both lists disjoint and in order."""
    left: list[Interval] = []
    for start, end in intervals:
        for hole_start, hole_end in holes:
            if hole_end <= start or hole_start >= end:
                continue
            if hole_start > start:
                left.append((start, hole_start))
            start = max(start, hole_end)
        if end > start:
            left.append((start, end))
    return left


def length(intervals: Iterable[Interval]) -> float:
    """Return the total length of disjoint intervals, in seconds."""
    return sum(end - start for start, end in intervals)
