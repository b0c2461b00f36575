"""Builds one burst from what the hooks see: when it may start, what counts, and when it is long enough."""

from __future__ import annotations

import time
from collections.abc import Sequence
from statistics import fmean

from gputune.probes.agent import device
from gputune.probes.agent.diagnosis import Seen
from gputune.probes.agent.interludes import Span
from gputune.probes.batch_means import mean_and_half_width
from gputune.probes.burst import Burst, Stall, StallKind, WorkerBatch
from gputune.probes.protocol import Measure
from gputune.probes.tensorflow.settings import StageUse

APART = frozenset({StallKind.EPOCH, StallKind.VALIDATION, StallKind.CHECKPOINT})
"""Stalls whose time is taken out of the ordinary steps and counted at its own frequency."""
RACE_FROM, RACE_EVERY = 6, 2
"""Batches from which, and at every how many, a burst may be found to be clearly losing."""


class BurstBuilder:
    """Accumulates one burst.

    Args:
        order: what was asked for.
        batches_before: training batches the target had consumed when the burst began.
        swapped: the loader was rebuilt for this burst, so no prefetched stock is in its queue.
    """

    def __init__(self, order: Measure, batches_before: int, *, swapped: bool = True) -> None:
        self.order = order
        self.start_s = time.monotonic()
        self.swap_s = 0.0
        self.first_batch_s = 0.0
        self.batches = batches_before
        self.period_s: list[float] = []
        self.wait_s: list[float] = []
        self.samples: list[int] = []
        self.ready: list[int] = []
        self.stalls: list[Stall] = []
        self.abandoned = False
        self._discarded = 0
        self._last_return_s = 0.0
        self._apart_s = 0.0
        self._measure_from_s = 0.0
        self._steps_at_start = 0
        self._steps = 0
        # The first batch of every worker arrives in one clump, and stock from before the burst is no throughput.
        workers = order.settings.num_workers
        pipeline = workers + 1 if swapped else workers * (1 + (order.settings.prefetch_factor or 0))
        self._to_discard = max(1, order.length.warmup_batches, 0 if order.replay else pipeline)

    def began(self, swap_s: float) -> None:
        """Note that the swap is done and the first batch is being waited for."""
        self.swap_s = swap_s
        self._last_return_s = time.monotonic()

    def stall(self, span: Span) -> None:
        """Note something that held the main thread up since the last batch."""
        if span.kind in APART:
            self._apart_s += span.duration_s
        if self._measuring():
            stall = Stall(span.kind, span.start_s, span.duration_s, self.batches, span.detail, span.wait_s)
            self.stalls.append(stall)

    def _measuring(self) -> bool:
        return self._discarded >= self._to_discard

    def batch(self, enter_s: float, return_s: float, samples: int, ready: int, steps: int, new_epoch: bool) -> bool:
        """Note one batch and return whether the burst is complete.

        Args:
            enter_s: when the loop called ``next()``.
            return_s: when it got the batch.
            samples: samples in the batch.
            ready: batches that lay ready at ``enter_s`` (-1: unknown).
            steps: optimiser steps of the process so far.
            new_epoch: this is the first batch of a pass over the loader.
        """
        self.batches += 1
        if not self.first_batch_s:
            self.first_batch_s = return_s - self.start_s
        if not self._measuring():
            self._discarded += 1
            if self._measuring():
                device.synchronize()
                return_s = self._measure_from_s = time.monotonic()
                self._steps_at_start = steps
        else:
            period_s = max(0.0, return_s - self._last_return_s - self._apart_s)
            if new_epoch:
                # What is left of the gap after validation and checkpoint is the cost of ending and starting an epoch.
                self.stalls.append(Stall(StallKind.EPOCH, self._last_return_s, period_s, self.batches))
            else:
                self.period_s.append(period_s)
                self.wait_s.append(min(return_s - enter_s, period_s))
                self.samples.append(samples)
                self.ready.append(ready)
        self._last_return_s, self._apart_s, self._steps = return_s, 0.0, steps
        return self._complete()

    @property
    def has_enough(self) -> bool:
        """Whether the burst may be taken as it is, should the script end now."""
        return len(self.period_s) >= self.order.length.min_batches

    def _complete(self) -> bool:
        count, length = len(self.period_s), self.order.length
        if not self._measuring():
            return time.monotonic() - self.start_s > 2 * max(length.max_s, self.order.deadline_s)
        elapsed_s = time.monotonic() - self._measure_from_s
        if length.checkpoints:
            met = sum(stall.kind is StallKind.CHECKPOINT for stall in self.stalls)
            enough = met >= length.checkpoints and count >= length.min_batches and elapsed_s >= length.min_s
            return enough or elapsed_s >= length.max_s
        whole_round = count % max(1, self.order.settings.num_workers) == 0 or self.order.replay
        if elapsed_s >= 1.5 * length.max_s or (elapsed_s >= length.max_s and whole_round):
            return count >= 3 or elapsed_s >= 3 * length.max_s
        long_enough = count >= length.min_batches and elapsed_s >= length.min_s
        # A race is lost long before the rate is known: look at every few batches of a shorter burst.
        racing = bool(self.order.abandon_below) and count >= RACE_FROM and (long_enough or count % RACE_EVERY == 0)
        if not whole_round or not (long_enough or racing):
            return False
        mean_s, half_s = self._interval()
        if racing and self._clearly_below(mean_s, half_s):
            self.abandoned = True
            return True
        return long_enough and half_s <= length.precision * mean_s

    def _interval(self) -> tuple[float, float]:
        """Return mean period and half-width of its 90 % interval from batch means over whole worker rounds."""
        width = 1 if self.order.replay else max(1, self.order.settings.num_workers)
        return mean_and_half_width(self.period_s, 0.90, width, least_groups=3)

    def _clearly_below(self, mean_s: float, half_s: float) -> bool:
        fastest = mean_s - half_s
        return fastest > 0 and fmean(self.samples) / fastest < (self.order.abandon_below or 0.0)

    def end(self) -> None:
        """Empty the queue of a GPU; the time that takes belongs to the burst."""
        before = time.monotonic()
        device.synchronize()
        extra_s = time.monotonic() - before
        if self.period_s and extra_s > 1e-4:
            self.period_s[-1] += extra_s

    def record(
        self,
        workers: list[WorkerBatch],
        seen: Seen,
        *,
        batch_bytes: int,
        batches_per_epoch: int = 0,
        stages: Sequence[StageUse] = (),
    ) -> Burst:
        """Return the burst, which has ended.

        Args:
            workers: the stamps of all batches made meanwhile.
            seen: what was looked for besides.
            batch_bytes: bytes of tensors in a batch (0: unknown).
            batches_per_epoch: length of one pass over the loader (0: unknown).
            stages: of a ``tf.data`` pipeline, what its transformations did.
        """
        start = self._measure_from_s or self.start_s
        return Burst(
            settings=self.order.settings,
            purpose=self.order.purpose,
            start_s=start,
            end_s=time.monotonic(),
            swap_s=self.swap_s,
            first_batch_s=self.first_batch_s,
            warmup_batches=self._discarded,
            period_s=self.period_s,
            wait_s=self.wait_s,
            samples=self.samples,
            ready=self.ready,
            workers=[w for w in workers if w.start_s + w.fetch_s + w.collate_s >= start],
            stalls=self.stalls,
            hotspots=seen.hotspots,
            syncs=seen.syncs,
            missing=seen.missing,
            stages=list(stages),
            batches_total=self.batches,
            steps=max(0, self._steps - self._steps_at_start),
            batch_bytes=batch_bytes,
            batches_per_epoch=batches_per_epoch,
            abandoned=self.abandoned,
        )
