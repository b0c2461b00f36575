"""Obeys the tuner's orders at batch boundaries of the loop that trains.

Everything happens inside the user's own request for the next element; the agent has no thread. Under trial settings
the loop keeps its iterator, and its elements come from a second iterator over the rebuilt pipeline. That one starts a
pass of its own: in a probe, whose results are thrown away, epochs keep their length but not their elements' order.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from gputune.probes.agent.builder import BurstBuilder
from gputune.probes.agent.diagnosis import Seen
from gputune.probes.agent.discovery import Discovery
from gputune.probes.agent.failures import one_line
from gputune.probes.agent.interludes import Interludes
from gputune.probes.agent.line import Line
from gputune.probes.agent.replay import ReplayCache
from gputune.probes.agent.steps import StepCounter
from gputune.probes.burst import Infeasible, Purpose
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
from gputune.probes.tensorflow import model, private
from gputune.probes.tensorflow.elements import bytes_in, samples_in
from gputune.probes.tensorflow.hooks import Feed, unwatched
from gputune.probes.tensorflow.settings import PipelineSettings
from gputune.probes.tensorflow.sites import Sites

NOTHING_SEEN = Seen([], [], [])
FILLING_S = 60.0
"""A pipeline that caches is measured from its second pass on, unless the first takes longer than this."""


class Conductor:
    """Conducts the training loop of one process.

    Args:
        channel: to the tuner.
        sites: registry of the places that make datasets.
        steps: counter of optimiser steps.
        environment: called once, when the loop that trains is known.
        claim: called once before that; false where another process or agent is conducted already.
        started_s: monotonic time at which the agent came.
    """

    def __init__(
        self,
        channel: Channel[Order],
        sites: Sites,
        steps: StepCounter,
        *,
        environment: Callable[[], Environment],
        claim: Callable[[], bool],
        started_s: float,
    ) -> None:
        self._line, self._sites, self._steps = Line(channel), sites, steps
        self._environment, self._claim, self._started_s = environment, claim, started_s
        self._discovery, self._interludes, self._cache = Discovery(steps), Interludes(), ReplayCache()
        self._target: Any = None
        self._released = self._inside = self._complete = False
        self._settings = self._own = Settings()
        self._builder: BurstBuilder | None = None
        self._batches, self._first_batch_after_s, self._batch_bytes = 0, 0.0, 0

    # -- what the hooks call ------------------------------------------------------------------------------------

    def next_element(self, feed: Feed, read: Callable[[Any], Any]) -> Any:
        """Return the next element of any loop of the process."""
        if self._released or self._inside:
            return self._read(feed, read)
        if self._target is None and self._may_be_conducted(feed) and self._discovery.found(feed.site):
            if not self._claim():
                self._released = True
                return self._read(feed, read)
            self._take_over(feed)
        self._inside = True
        try:
            return self._conducted(feed, read) if feed.site is self._target else self._watched(feed, read)
        finally:
            self._inside = False

    def checkpointed(self, start_s: float, duration_s: float) -> None:
        """Note that a model was saved on the main thread."""
        if not self._inside and not self._released:
            self._interludes.saved(start_s, duration_s)

    def logged(self, start_s: float, duration_s: float, library: str) -> None:
        """Note a logger's call on the main thread; inside the request for an element it is part of the wait."""
        if not self._inside and not self._released:
            self._interludes.logged(start_s, duration_s, library)

    def goodbye(self) -> None:
        """Tell the tuner what was seen, when the script ends by itself."""
        if not self._released:
            if self._builder is not None and self._builder.has_enough:
                self._answer(None)
            self._line.farewell(Goodbye(loaders=self._sites.records(), conducted=self._target is not None))

    # -- discovering --------------------------------------------------------------------------------------------

    def _may_be_conducted(self, feed: Feed) -> bool:
        """Whether a cache in the pipeline has been filled, as it will be for most of the training."""
        if not any(stage.operation == "cache" for stage in feed.built.stages):
            return True
        first_s = self._first_batch_after_s + self._started_s
        return feed.site.batches >= (feed.length or 0) > 0 or time.monotonic() - first_s > FILLING_S

    def _watched(self, feed: Feed, read: Callable[[Any], Any]) -> Any:
        """A loop that is not (yet) the one we conduct: let it through and time it."""
        enter_s = time.monotonic()
        try:
            element = self._read(feed, read)
        except private.out_of_range():
            self._interludes.other_batch(enter_s, time.monotonic(), ended=True)
            raise
        return_s = time.monotonic()
        self._interludes.other_batch(enter_s, return_s, ended=feed.handed_out == feed.length)
        self._first_batch_after_s = self._first_batch_after_s or return_s - self._started_s
        feed.site.batches += 1
        if self._target is None:
            self._discovery.handed_out(feed.site, return_s - enter_s)
        elif feed.site.role == "unknown":
            feed.site.role = "validation"
        return element

    def _take_over(self, feed: Feed) -> None:
        """Say hello for the loop that trains."""
        site = self._target = feed.site
        self._own = self._settings = site.facts["settings"]
        self._batches = site.batches
        self._interludes.take()
        hello = Hello(
            protocol=PROTOCOL_VERSION,
            environment=self._environment(),
            loader=site.record(),
            loaders=self._sites.records(),
            startup_s=self._first_batch_after_s,
        )
        self._line.say(hello)

    # -- conducted ----------------------------------------------------------------------------------------------

    def _conducted(self, feed: Feed, read: Callable[[Any], Any]) -> Any:
        if self._complete:
            self._answer(feed)
        if self._builder is None and not self._released:
            self._obey(feed)
        if feed.fresh and not feed.swapped and self._settings != self._own:
            self._swap(feed, self._settings)
        builder = self._builder
        try:
            return self._fetch(feed, read)
        except private.out_of_range():
            raise
        except Exception as error:
            if builder is None or builder.order.settings == self._own:
                raise
            self._undo(feed, builder, error)
        # What failed is asked for again under the user's own settings: an error of the user's comes up again, as it
        # would have without us, and anything else was the trial's.
        return self._fetch(feed, read)

    def _fetch(self, feed: Feed, read: Callable[[Any], Any]) -> Any:
        builder, new_epoch = self._builder, feed.fresh
        if builder is not None:
            for span in self._interludes.take():
                builder.stall(span)
        enter_s = time.monotonic()
        if builder is not None and builder.order.replay and self._cache and feed.handed_out != feed.length:
            element = self._cache.next()
            feed.handed_out += 1
        else:
            element = self._read(feed, read)
            if builder is not None and (builder.order.purpose is Purpose.BASELINE or builder.order.replay):
                self._keep(element)
        return_s = time.monotonic()
        feed.site.batches += 1
        self._batches += 1
        if builder is not None:
            samples = samples_in(element, feed.site.facts.get("batch_size"))
            self._complete = builder.batch(enter_s, return_s, samples, -1, self._steps.count, new_epoch)
        return element

    def _keep(self, element: Any) -> None:
        self._batch_bytes = bytes_in(element)
        self._cache.keep(element)

    def _read(self, feed: Feed, read: Callable[[Any], Any]) -> Any:
        """Read one element; a pass has as many as the user's own pipeline would give."""
        if feed.swapped and feed.handed_out == feed.length:
            if not feed.ended:
                feed.ended = True
                feed.built.pass_ended()
            raise private.end_of_sequence()
        try:
            element = read(feed.reading)
        except private.out_of_range():
            if not feed.swapped or feed.length is None:
                raise
            # The second iterator began in the middle of the user's pass, so that it ended too soon.
            feed.reading = unwatched(feed.built.build(self._pipeline_settings()))
            element = read(feed.reading)
        feed.handed_out += 1
        return element

    def _pipeline_settings(self) -> PipelineSettings:
        assert self._settings.pipeline is not None
        return self._settings.pipeline

    def _swap(self, feed: Feed, settings: Settings) -> None:
        """Let the elements come from the pipeline under other settings."""
        stays = settings == self._settings == self._own and not feed.swapped
        self._settings = settings
        if stays:
            return
        feed.reading, feed.swapped = None, True  # the threads of the iterator before end here
        feed.reading = unwatched(feed.built.build(self._pipeline_settings()))

    def _answer(self, feed: Feed | None) -> None:
        """Send the finished burst."""
        builder = self._builder
        assert builder is not None
        length = self._target.facts.get("batches_per_epoch") or 0
        stages = model.stages(feed.reading) if feed is not None and not builder.order.replay else []
        builder.end()
        burst = builder.record([], NOTHING_SEEN, batch_bytes=self._batch_bytes, batches_per_epoch=length, stages=stages)
        self._builder, self._complete = None, False
        self._line.say(Measured(id=builder.order.id, burst=burst, loaders=self._sites.records()))

    def _obey(self, feed: Feed) -> None:
        """Wait for the next order and put it into effect."""
        order = self._line.next_order()
        while isinstance(order, Measure) and not self._can_run(order):
            self._line.say(Refused(id=order.id, reason="threads of the process can only be set in a fresh one"))
            order = self._line.next_order()
        if not isinstance(order, Measure):
            self._released = True
            self._swap(feed, self._own)
            return
        self._interludes.take()
        builder = self._builder = BurstBuilder(order, self._batches)
        try:
            self._swap(feed, order.settings)
        except Exception as error:
            if order.settings == self._own:
                raise
            self._undo(feed, builder, error)
            return
        builder.began(time.monotonic() - builder.start_s)

    def _can_run(self, order: Measure) -> bool:
        wanted, own = order.settings.pipeline, self._own.pipeline
        assert own is not None
        return wanted is not None and wanted.process_wide == own.process_wide

    def _undo(self, feed: Feed, builder: BurstBuilder, error: Exception) -> None:
        """Put the user's own settings back and tell the tuner why."""
        self._builder, self._complete = None, False
        reason = one_line(error)
        error.__traceback__ = None  # its frames hold the failed iterator, whose calls may still be running
        self._swap(feed, self._own)
        failed = Infeasible(
            settings=builder.order.settings,
            purpose=builder.order.purpose,
            reason=reason,
            cost_s=time.monotonic() - builder.start_s,
        )
        self._line.say(TrialFailed(id=builder.order.id, infeasible=failed))
