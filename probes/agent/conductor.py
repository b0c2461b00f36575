"""Obeys the tuner's orders at batch boundaries of the training loader.

Life of a target: *discovering* (all loaders untouched, only counted) -> *conducted* (each order: swap, measure,
answer) -> *released* (as if we were not there). Everything happens inside the user's own call of ``next()``; the
agent has no thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from gputune.probes.agent import clock, gates
from gputune.probes.agent.alone import Alone
from gputune.probes.agent.batches import size_in_bytes, size_in_samples
from gputune.probes.agent.builder import BurstBuilder
from gputune.probes.agent.diagnosis import Diagnosis
from gputune.probes.agent.discovery import Discovery
from gputune.probes.agent.failures import explain
from gputune.probes.agent.hooks import Attached, ready_batches
from gputune.probes.agent.interludes import Interludes
from gputune.probes.agent.line import Line, end_process
from gputune.probes.agent.offload import Offload
from gputune.probes.agent.replay import ReplayCache
from gputune.probes.agent.sites import Sites, settings_of
from gputune.probes.agent.steps import StepCounter
from gputune.probes.agent.swap import kill_workers, swap
from gputune.probes.burst import Infeasible, Purpose, StallKind
from gputune.probes.channel import Channel
from gputune.probes.protocol import (
    PROTOCOL_VERSION,
    Environment,
    Goodbye,
    Hello,
    Measure,
    Measured,
    Order,
    Refused,
    TrialFailed,
)
from gputune.probes.settings import Settings


class Conductor:
    """Conducts the training loader of one process.

    Args:
        channel: to the tuner.
        sites: registry of construction sites.
        steps: counter of optimiser steps.
        ring: where workers put their stamps.
        environment: called once, when the training loader is known.
        claim: called once before that; false where another process of the command is conducted already.
        started_s: monotonic time at which the agent came.
    """

    def __init__(
        self,
        channel: Channel[Order],
        sites: Sites,
        steps: StepCounter,
        ring: clock.Ring,
        *,
        environment: Callable[[], Environment],
        claim: Callable[[], bool],
        started_s: float,
    ) -> None:
        self.deadline_s: float | None = None
        self.alone: Alone | None = None
        self.offload = Offload()
        self._line, self._sites, self._steps, self._ring = Line(channel), sites, steps, ring
        self._environment, self._claim, self._started_s = environment, claim, started_s
        self._discovery = Discovery(steps)
        self._interludes = Interludes()
        self._diagnosis = Diagnosis(ring.board)
        self._target: Any = None
        self._released = self._inside = False
        self._hot_swap, self._accelerator = True, False
        self._own = Settings()
        self._builder: BurstBuilder | None = None
        self._complete = False
        self._cache = ReplayCache()
        self._batches = 0
        self._first_batch_after_s = 0.0

    # -- what the hooks call ------------------------------------------------------------------------------------

    def next_batch(self, iterator: Any, attached: Attached, original: Callable[[Any], Any]) -> Any:
        """Return the next batch of any loader of the process."""
        if self._released or self._inside:
            return original(iterator)
        site = attached.site
        if attached.fresh:
            attached.avoid_cycle(iterator)
        if self._target is None and self._discovery.found(site):
            if not self._claim():
                self._released = True
                return original(iterator)
            self._take_over(attached)
        self._inside = True
        try:
            if site is self._target:
                return self._conducted(iterator, attached, original)
            return self._watched(iterator, attached, original)
        finally:
            self._inside = False

    def checkpointed(self, kind: StallKind, start_s: float, duration_s: float) -> None:
        """Note a ``torch.save`` on the main thread."""
        self._interludes.saved(start_s, duration_s)

    def logged(self, start_s: float, duration_s: float, library: str) -> None:
        """Note a logger's call on the main thread; inside ``next()`` it is part of the wait."""
        if not self._inside and not self._released:
            self._interludes.logged(start_s, duration_s, library)

    def goodbye(self) -> None:
        """Tell the tuner what was seen, when the script ends by itself."""
        if not self._released:
            # A short script may end before a burst has its full length; what it has may be enough.
            if self._builder is not None and self._builder.has_enough:
                self._answer()
            sampled = self.alone.report() if self.alone else {}
            conducted = self._target is not None
            self._line.farewell(Goodbye(loaders=self._sites.records(), conducted=conducted, **sampled))

    def trained_alone(self) -> None:
        """Enough was seen of a script without a loader: say so and end it, as every probe ends."""
        self.goodbye()
        end_process(0)

    # -- discovering --------------------------------------------------------------------------------------------

    def _watched(self, iterator: Any, attached: Attached, original: Callable[[Any], Any]) -> Any:
        """A loader that is not (yet) the one we conduct: let it through and time it."""
        enter_s = time.monotonic()
        try:
            batch = original(iterator)
        except StopIteration:
            self._interludes.other_batch(enter_s, time.monotonic(), ended=True)
            raise
        return_s = time.monotonic()
        self._interludes.other_batch(enter_s, return_s, ended=False)
        if not self._first_batch_after_s:
            self._first_batch_after_s = return_s - self._started_s
        attached.site.batches += 1
        attached.fresh = False
        if self._target is None:
            self._cache.keep(batch)
            self._discovery.handed_out(attached.site, return_s - enter_s)
            _forget_yielded(iterator)
        elif attached.site.role == "unknown":
            attached.site.role = "validation"
        return batch

    def _take_over(self, attached: Attached) -> None:
        """Say hello for the loader that trains."""
        site, loader = attached.site, attached.loader
        self._target, self._own = site, settings_of(loader)
        self._batches = site.batches
        site.learn(loader)
        iterable = bool(site.facts.get("iterable"))
        environment = self._environment()
        self._hot_swap = environment.hot_swap
        self._accelerator = environment.accelerator
        self._interludes.take()
        found = gates.check(
            loader,
            asked_worker_info=self._ring.worker_info_asked(),
            iterable=iterable,
            batch=self._cache.last,
        )
        self._cache.clear()
        hello = Hello(
            protocol=PROTOCOL_VERSION,
            environment=environment,
            loader=site.record(),
            loaders=self._sites.records(),
            gates=found,
            startup_s=self._first_batch_after_s,
        )
        self._line.say(hello)

    # -- conducted ----------------------------------------------------------------------------------------------

    def _conducted(self, iterator: Any, attached: Attached, original: Callable[[Any], Any]) -> Any:
        if self._complete:
            self._answer()
        if self._builder is None:
            self._obey(iterator, attached)
        if self._builder is None:
            return self._unmeasured(iterator, attached, original)
        if (failure := self.offload.failure()) is not None:
            self._undo(iterator, attached, self._builder, failure)
            return self._unmeasured(iterator, attached, original)
        try:
            return self._fetch(iterator, attached, original)
        except StopIteration:
            raise
        except Exception as error:
            builder = self._builder
            if builder.order.settings == self._own or not self._hot_swap:
                raise
            self._undo(iterator, attached, builder, error)
        # What failed is repeated with the user's own settings: an error of the user's comes up again, as it would
        # have without us, and anything else was the trial's.
        return self._unmeasured(iterator, attached, original)

    def _unmeasured(self, iterator: Any, attached: Attached, original: Callable[[Any], Any]) -> Any:
        batch = original(iterator)
        _forget_yielded(iterator)
        attached.fresh = False
        attached.site.batches += 1
        self._batches += 1
        return batch

    def _fetch(self, iterator: Any, attached: Attached, original: Callable[[Any], Any]) -> Any:
        builder = self._builder
        assert builder is not None
        order, new_epoch = builder.order, attached.fresh
        spans = self._interludes.take()
        for span in spans:
            builder.stall(span)
        self._time_main_thread_fetches(iterator, attached)
        enter_s = time.monotonic()
        ready = ready_batches(iterator)
        trial = order.settings != self._own
        self.deadline_s = enter_s + order.deadline_s if trial else None
        if order.replay and self._cache:
            indices = iterator._next_index() if order.settings.num_workers == 0 and self._hot_swap else None
            batch = self._cache.next()
            _forget_yielded(iterator)
        else:
            batch = original(iterator)
            indices = _forget_yielded(iterator)
            # A process that was just started has nothing to replay yet: the first batch is loaded.
            if order.purpose is Purpose.BASELINE or order.replay:
                self._cache.keep(batch)
        return_s = time.monotonic()
        self.deadline_s = None
        attached.fresh = False
        attached.site.batches += 1
        self._batches += 1
        samples = size_in_samples(batch, indices, attached.site.facts.get("batch_size"))
        self._complete = builder.batch(enter_s, return_s, samples, ready, self._steps.count, new_epoch)
        return batch

    def _time_main_thread_fetches(self, iterator: Any, attached: Attached) -> None:
        fetcher = iterator.__dict__.get("_dataset_fetcher")
        if fetcher is not None and attached.timed_fetcher is not fetcher:
            clock.FetchTimer(fetcher, self._ring, 0)
            attached.timed_fetcher = fetcher

    def _answer(self) -> None:
        """Send the finished burst."""
        builder = self._builder
        assert builder is not None
        size = size_in_bytes(self._cache.last)
        length = self._target.facts.get("batches_per_epoch") or 0
        burst = builder.finish(self._ring.drain(), size, length, self._diagnosis.end())
        self._builder, self._complete = None, False
        self._line.say(Measured(id=builder.order.id, burst=burst, loaders=self._sites.records()))

    def _obey(self, iterator: Any, attached: Attached) -> None:
        """Wait for the next order and put it into effect."""
        order = self._line.next_order()
        if not isinstance(order, Measure):
            self.offload.stop()
            if self._hot_swap:
                swap(iterator, attached.loader, attached.index_sampler, self._own)
            self._released = True
            return
        current = settings_of(attached.loader)
        if not self._hot_swap and order.settings.loader_only() != current:
            self._line.say(Refused(id=order.id, reason="settings cannot be swapped in this process"))
            return
        if order.replay and self._accelerator:
            self._cache.pin(order.settings.pin_memory)
        self._ring.drain()
        self._interludes.take()
        builder = self._builder = BurstBuilder(order, self._batches, swapped=self._hot_swap)
        if order.purpose is Purpose.DIAGNOSIS:
            self._diagnosis.prepare()
        try:
            self.offload.use(order.settings)
            if self._hot_swap:
                swap(iterator, attached.loader, attached.index_sampler, order.settings)
        except Exception as error:
            if order.settings == self._own:
                raise
            self._undo(iterator, attached, builder, error)
            return
        builder.began(time.monotonic() - builder.start_s)
        if order.purpose is Purpose.DIAGNOSIS:
            self._diagnosis.begin()

    def _undo(self, iterator: Any, attached: Attached, builder: BurstBuilder, error: Exception) -> None:
        """Put the user's own settings back, repeat what was under way, and tell the tuner why."""
        self.deadline_s = None
        self._diagnosis.end()
        reason = explain(iterator, error)
        if self._hot_swap:
            kill_workers(iterator)
            swap(iterator, attached.loader, attached.index_sampler, self._own)
        self.offload.stop()
        self._builder, self._complete = None, False
        order = builder.order
        failed = Infeasible(
            settings=order.settings,
            purpose=order.purpose,
            reason=reason,
            cost_s=time.monotonic() - builder.start_s,
        )
        self._line.say(TrialFailed(id=order.id, infeasible=failed))


def _forget_yielded(iterator: Any) -> Any:
    """Drop the record of the batch just handed out and return its indices."""
    return iterator._sampler_iter.yielded(iterator.__dict__.get("_task_info"))
