"""Measures the training loader as the tuner orders: swap, count, answer, and undo a trial that fails."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import msgspec

from gputune.probes import knob
from gputune.probes.agent import accelerator, clock
from gputune.probes.agent.batches import size_in_bytes, size_in_samples
from gputune.probes.agent.builder import BurstBuilder
from gputune.probes.agent.copies import CopyTimer
from gputune.probes.agent.diagnosis import Diagnosis
from gputune.probes.agent.failures import explain
from gputune.probes.agent.hooks import Attached, ready_batches
from gputune.probes.agent.instruments import Instruments
from gputune.probes.agent.ranks_party import Party, RankFailed
from gputune.probes.agent.recorder import every_batch_once, forget_yielded
from gputune.probes.agent.samples import BATCHES_LOST, Samples, SamplesChanged
from gputune.probes.agent.sites import Sites, settings_of
from gputune.probes.agent.swap import kill_workers, swap
from gputune.probes.burst import Infeasible, Purpose, Sameness
from gputune.probes.protocol import Environment, Measure, Measured, Refused, TrialFailed


class Measurer:
    """Carries out one order after the other, inside the user's calls of ``next()`` of one loader.

    Args:
        party: where orders come from and answers go: the tuner, or the first of several ranks.
        sites: registry of construction sites.
        instruments: what bursts are read from.
        attached: an iterator of the loader that is measured; its settings are the user's own.
        environment: what the process can do.
    """

    def __init__(
        self, party: Party, sites: Sites, instruments: Instruments, attached: Attached, environment: Environment
    ) -> None:
        self.deadline_s: float | None = None
        self.released = False
        """The tuner has let go: nothing is to be measured any more."""
        self._party, self._sites = party, sites
        self._steps, self._ring, self._interludes, self._cache, self._offload = instruments
        self._diagnosis = Diagnosis(self._ring.board)
        self._target, self._own = attached.site, settings_of(attached.loader).replace(knobs=knob.changed())
        self._hot_swap, self._accelerator = environment.hot_swap, environment.accelerator
        self._copies = CopyTimer(sys.modules["torch"].Tensor, accelerator.present())
        self._samples = Samples(self._own, iterable=bool(attached.site.facts.get("iterable")))
        self._batches = attached.site.batches
        self._builder: BurstBuilder | None = None
        self._complete = False

    def next_batch(self, iterator: Any, attached: Attached, original: Callable[[Any], Any]) -> Any:
        """Return the next batch for the user's loop, measured as ordered."""
        if self._complete or (self._builder is not None and self._party.is_due(self._batches)):
            self._conclude(iterator, attached)
        if self._builder is None:
            self._obey(iterator, attached, original)
        if self._builder is None:
            return self._unmeasured(iterator, attached, original)
        if (failure := self._offload.failure()) is not None:
            self._undo(iterator, attached, self._builder, failure)
            return self._unmeasured(iterator, attached, original)
        try:
            self._party.check()
            return self._fetch(iterator, attached, original)
        except StopIteration:
            raise
        except Exception as error:
            builder = self._builder
            if (builder.order.settings == self._own and not isinstance(error, RankFailed)) or not self._hot_swap:
                raise
            self._undo(iterator, attached, builder, error)
        # What failed is repeated with the user's own settings: an error of the user's comes up again, as it would
        # have without us, and anything else was the trial's.
        return self._unmeasured(iterator, attached, original)

    def end_early(self) -> None:
        """The script ends by itself: what the burst under way has may be enough."""
        if self._builder is not None and self._builder.has_enough:
            self._answer(Sameness.UNKNOWN)

    def _unmeasured(self, iterator: Any, attached: Attached, original: Callable[[Any], Any]) -> Any:
        batch = original(iterator)
        forget_yielded(iterator)
        attached.fresh = False
        attached.site.batches += 1
        self._batches += 1
        return batch

    def _fetch(self, iterator: Any, attached: Attached, original: Callable[[Any], Any]) -> Any:
        builder = self._builder
        assert builder is not None
        order, new_epoch = builder.order, attached.fresh
        for span in (*self._interludes.take(), *self._copies.take()):
            builder.stall(span)
        self._time_main_thread_fetches(iterator, attached)
        enter_s = time.monotonic()
        ready = ready_batches(iterator)
        trial = order.settings != self._own
        self.deadline_s = enter_s + order.deadline_s if trial else None
        if order.replay and self._cache:
            indices = iterator._next_index() if order.settings.num_workers == 0 and self._hot_swap else None
            batch = self._cache.next()
            forget_yielded(iterator)
        else:
            batch = original(iterator)
            indices = forget_yielded(iterator)
            # A process that was just started has nothing to replay yet: the first batch is loaded.
            if order.purpose is Purpose.BASELINE or order.replay:
                self._cache.keep(batch)
        return_s = time.monotonic()
        self.deadline_s = None
        attached.fresh = False
        attached.site.batches += 1
        self._batches += 1
        samples = size_in_samples(batch, indices, attached.site.facts.get("batch_size"))
        complete = builder.batch(enter_s, return_s, samples, ready, self._steps.count, new_epoch)
        self._complete = complete and self._party.decides
        self._party.measured(self._batches, builder)
        if not builder.period_s:  # warming up: there is time to look at what came
            self._samples.received(order, batch, indices, return_s - enter_s)
        return batch

    def _time_main_thread_fetches(self, iterator: Any, attached: Attached) -> None:
        fetcher = iterator.__dict__.get("_dataset_fetcher")
        if fetcher is not None and attached.timed_fetcher is not fetcher:
            clock.FetchTimer(fetcher, self._ring, 0)
            attached.timed_fetcher = fetcher

    def _conclude(self, iterator: Any, attached: Attached) -> None:
        """Send the finished burst, unless its settings lost or repeated a batch."""
        builder = self._builder
        assert builder is not None
        once = every_batch_once(iterator)
        if once is False and builder.order.settings != self._own and not self._samples.iterable:
            self._undo(iterator, attached, builder, SamplesChanged(BATCHES_LOST))
        else:
            self._answer(self._samples.sameness(builder.order, bool(once)))

    def _answer(self, sameness: Sameness) -> None:
        builder = self._builder
        assert builder is not None
        builder.end()
        for span in self._copies.take():
            builder.stall(span)
        seen = self._diagnosis.end()
        if self._copies.missing:
            seen.missing.append(self._copies.missing)
        burst = builder.record(
            self._ring.drain(),
            seen,
            batch_bytes=size_in_bytes(self._cache.last),
            batches_per_epoch=self._target.facts.get("batches_per_epoch") or 0,
        )
        burst = msgspec.structs.replace(burst, sameness=sameness)
        self._builder, self._complete = None, False
        self._party.say(Measured(id=builder.order.id, burst=burst, loaders=self._sites.records()))

    def _obey(self, iterator: Any, attached: Attached, original: Callable[[Any], Any]) -> None:
        """Wait for the next order and put it into effect, unless it is for a later batch."""
        order = self._party.next_order(self._batches)
        if order is None:
            return
        if not isinstance(order, Measure):
            knob.settle(self._own.knobs or ())
            self._offload.stop()
            if self._hot_swap:
                swap(iterator, attached.loader, attached.index_sampler, self._own)
            self._copies.remove()
            self.released = True
            return
        current = settings_of(attached.loader).replace(knobs=order.settings.knobs)
        if (not self._hot_swap and order.settings.loader_only() != current) or not knob.settle(
            order.settings.knobs or ()
        ):
            self._party.say(Refused(id=order.id, reason="settings cannot be swapped in this process"))
            return
        if order.replay and self._accelerator:
            self._cache.pin(order.settings.pin_memory)
        self._ring.drain()
        self._interludes.take()
        self._copies.take()
        builder = self._builder = BurstBuilder(order, self._batches, swapped=self._hot_swap)
        if order.purpose is Purpose.DIAGNOSIS:
            self._diagnosis.prepare()
        try:
            self._offload.use(order.settings)
            if self._hot_swap:
                self._swap(iterator, attached, original, builder)
        except Exception as error:
            if order.settings == self._own:
                raise
            self._undo(iterator, attached, builder, error)
            return
        builder.began(builder.swap_s or time.monotonic() - builder.start_s)
        if order.purpose is Purpose.DIAGNOSIS:
            self._diagnosis.begin()

    def _swap(self, iterator: Any, attached: Attached, original: Callable[[Any], Any], builder: BurstBuilder) -> None:
        """Put the order's settings into effect, and see first whether they bring the user's samples."""
        order = builder.order
        self._samples.begin()
        first = self._samples.to_repeat(order)
        swap(iterator, attached.loader, attached.index_sampler, order.settings, first)
        builder.swap_s = time.monotonic() - builder.start_s
        if not first:
            return
        yielded = iterator._num_yielded

        def fetch() -> Any:
            self.deadline_s = None if order.settings == self._own else time.monotonic() + order.deadline_s
            batch = original(iterator)
            forget_yielded(iterator)
            return batch

        try:
            builder.first_batch_s = self._samples.compare(order, fetch, len(first)) - builder.start_s
        except Exception:
            if order.settings != self._own:
                raise
            # Fetching a sample twice is nothing the user's script ever does: their loop must not see what it brings.
            self._samples.give_up()
            kill_workers(iterator)
            swap(iterator, attached.loader, attached.index_sampler, order.settings)
        iterator._num_yielded = yielded
        self.deadline_s = None

    def _undo(self, iterator: Any, attached: Attached, builder: BurstBuilder, error: Exception) -> None:
        """Put the user's own settings back, repeat what was under way, and tell the tuner why."""
        self.deadline_s = None
        self._diagnosis.end()
        reason = explain(iterator, error)
        knob.settle(self._own.knobs or ())
        self._offload.stop()
        if self._hot_swap:
            kill_workers(iterator)
            swap(iterator, attached.loader, attached.index_sampler, self._own)
        self._builder, self._complete = None, False
        order = builder.order
        failed = Infeasible(
            settings=order.settings,
            purpose=order.purpose,
            reason=reason,
            cost_s=time.monotonic() - builder.start_s,
        )
        self._party.say(TrialFailed(id=order.id, infeasible=failed))
