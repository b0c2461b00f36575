"""Holds every setting to the samples of the user's own: the same batches, each once, with the same content.

Three classes of evidence, the strongest that can be had:

- *content*: under the user's settings some batches are fetched twice; where both times bring the same values, the
  same indices are fetched again under each new number of workers, before its burst, and must bring them once more.
  This is what finds a file shared between forked workers, which returns wrong bytes without an error.
- *indices*: random augmentation makes values differ from fetch to fetch. Then every batch of indices that the sampler
  gave out must be handed over exactly once, whatever was swapped in between.
- An IterableDataset has no indices: its samples must not repeat themselves under more workers when they did not
  under the user's own.

What is fetched for the comparison is not handed to the user's loop, and not measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from gputune.probes.agent.content import Content, content, rows, same
from gputune.probes.burst import Purpose, Sameness
from gputune.probes.protocol import Measure
from gputune.probes.settings import Settings

BATCHES = 4
"""Fetched again under each number of workers: enough that several workers read at once."""
SLOW_S = 1.0
"""Batches are no longer collected once they have taken so much together: fetching them again takes as long."""
REPEATED = 0.25
"""Share of repeated samples, beyond that under the user's settings, which means that workers repeat each other's."""
_LEAST_ROWS = 8
BATCHES_LOST = "vetoed: the samples change: batches were lost or came twice under these settings"


class SamplesChanged(Exception):
    """The settings change what the model sees; the message says how, and what to do."""


class Samples:
    """What the loop of one loader received, setting by setting.

    Args:
        own: the user's settings.
        iterable: whether the dataset is an IterableDataset.
    """

    def __init__(self, own: Settings, iterable: bool) -> None:
        self.iterable = iterable
        self._own = own
        self._indices: list[Any] = []
        self._reference: list[Content] | None = None
        self._stable = False
        self._checked: set[int] = set()
        self._collected_s = 0.0
        self._own_repeats: float | None = None
        self._rows: list[int] = []

    def to_repeat(self, order: Measure) -> list[Any]:
        """Return the indices of batches to fetch before this order's burst, for comparison only."""
        if order.replay or not self._indices or self.iterable or order.settings.knobs != self._own.knobs:
            return []  # what a knob of the script changes about samples is the script's own
        if self._reference is None:
            return self._indices * 2 if order.settings == self._own else []
        workers = order.settings.num_workers
        return self._indices if self._stable and workers not in self._checked else []

    def compare(self, order: Measure, fetch: Callable[[], Any], count: int) -> float:
        """Fetch ``count`` batches and compare them with those of the user's settings.

        Returns:
            Monotonic time at which the first arrived.

        Raises:
            SamplesChanged: the same indices bring other samples.
        """
        seen, first_s = [], 0.0
        for _ in range(count):
            seen.append(content(fetch()))
            first_s = first_s or time.monotonic()
        if self._reference is None:
            half = count // 2
            self._reference = seen[:half]
            self._stable = all(map(same, seen[:half], seen[half:]))
            self._checked.add(self._own.num_workers)
            return first_s
        other = sum(not same(one, mine) for one, mine in zip(seen, self._reference, strict=True))
        if other:
            raise SamplesChanged(
                f"vetoed: the samples change ({other} of {count} batches came with other values than under your own "
                "settings): workers share an open file or a connection of the dataset; open it in __getitem__"
            )
        self._checked.add(order.settings.num_workers)
        return first_s

    def received(self, order: Measure, batch: Any, indices: Any, took_s: float) -> None:
        """Note a batch that the loop received while nothing was measured.

        Raises:
            SamplesChanged: an IterableDataset repeats its samples under these workers.
        """
        if order.replay:
            return
        if self.iterable:
            self._rows += rows(batch)
            self._compare_repeats(order)
        elif order.purpose is Purpose.BASELINE and self._reference is None and indices is not None:
            self._collected_s += took_s
            if len(self._indices) < BATCHES and self._collected_s < SLOW_S:
                self._indices.append(indices)

    def give_up(self) -> None:
        """The dataset does not bear a second fetch: compare indices only."""
        self._reference, self._stable = [], False

    def begin(self) -> None:
        """A burst begins: forget the samples of the one before."""
        self._rows = []

    def _compare_repeats(self, order: Measure) -> None:
        if len(self._rows) < _LEAST_ROWS:
            return
        repeats = 1 - len(set(self._rows)) / len(self._rows)
        if order.settings == self._own:
            self._own_repeats = repeats
        elif self._own_repeats is not None and repeats > self._own_repeats + REPEATED:
            raise SamplesChanged(
                f"vetoed: the samples change ({repeats:.0%} of them came twice): the workers of the IterableDataset "
                "read the same part; let each take its share by torch.utils.data.get_worker_info()"
            )

    def sameness(self, order: Measure, every_batch_once: bool) -> Sameness:
        """Return how it is known that these settings brought the user's samples.

        Args:
            order: the burst's.
            every_batch_once: each batch of indices was handed over exactly once so far.
        """
        if order.replay or self.iterable or not every_batch_once:
            return Sameness.UNKNOWN
        alike = order.settings.knobs == self._own.knobs
        checked = alike and self._stable and order.settings.num_workers in self._checked
        return Sameness.CONTENT if checked else Sameness.INDICES
