"""Throughput with checkpoints at their true frequency: whole stretches from one checkpoint to the next. Pure.

A burst's ordinary steps leave checkpoints out, and what a background write takes from the steps after it must not be
left out. From the end of the first checkpoint of a burst to the end of its last everything counts once: each wait
for an earlier write, each call, and every step that ran beside one. Only whole cycles are counted, so a burst that
happens to hold one more checkpoint is not made slower by it.
"""

from __future__ import annotations

import msgspec

from gputune import stats
from gputune.probes.burst import Burst, StallKind


class Cycles(msgspec.Struct, frozen=True, kw_only=True):
    """The stretch between the first and the last checkpoint of a burst."""

    count: int
    """Whole cycles in it."""
    batches: int
    """Batches that were measured in it; the first of an epoch is not."""
    samples: int
    seconds: float
    calls_s: float
    """Of these, how long the calls that saved held up the training thread."""

    @property
    def samples_per_s(self) -> float:
        """Samples a second, checkpoints included, starting epochs not."""
        return self.samples / self.seconds

    @property
    def seconds_each(self) -> float:
        """Seconds from one checkpoint to the next."""
        return self.seconds / self.count


def of_burst(burst: Burst) -> Cycles | None:
    """Return the whole cycles of a burst, or ``None`` when it did not meet two checkpoints some batches apart.

    Several saves between two batches (a best and a last checkpoint) make one checkpoint.
    """
    saves = [stall for stall in burst.stalls if stall.kind is StallKind.CHECKPOINT]
    moments = sorted({stall.batch for stall in saves})
    if len(moments) < 2:
        return None
    # The batch that is fetched right after a checkpoint closes its cycle.
    begin, end = _position(burst, moments[0]) + 1, _position(burst, moments[-1]) + 1
    if begin >= end:
        return None
    calls_s = sum(stall.duration_s for stall in saves if stall.batch > moments[0])
    return Cycles(
        count=len(moments) - 1,
        batches=end - begin,
        samples=sum(burst.samples[begin:end]),
        seconds=sum(burst.period_s[begin:end]) + calls_s,
        calls_s=calls_s,
    )


def samples_per_s(burst: Burst) -> float | None:
    """Return sustained samples a second with checkpoints and the starting of epochs, or ``None`` without cycles."""
    found = of_burst(burst)
    if found is None:
        return None
    start_s = stats.epoch_start_s(burst) / burst.batches_per_epoch if burst.batches_per_epoch else 0.0
    return found.samples / (found.seconds + start_s * found.batches)


def _first_number(burst: Burst) -> int:
    """Return the number of the first measured batch, counted as ``Stall.batch`` counts."""
    return burst.batches_total - len(burst.period_s) - len(_epoch_numbers(burst)) + 1


def _epoch_numbers(burst: Burst) -> list[int]:
    return [stall.batch for stall in burst.stalls if stall.kind is StallKind.EPOCH]


def _position(burst: Burst, consumed: int) -> int:
    """Return where in the arrays the batch stands that was fetched when ``consumed`` had been.

    The first batch of an epoch stands in no array; the place is then that of the batch before it.
    """
    number = consumed + 1
    skipped = sum(epoch <= number for epoch in _epoch_numbers(burst))
    return number - _first_number(burst) - skipped
