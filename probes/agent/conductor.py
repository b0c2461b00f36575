"""Takes the process through the life of a target, from inside the user's own calls of ``next()``.

*Discovering* (all loaders untouched, only counted) -> *conducted* (:mod:`gputune.probes.agent.measurer` obeys orders
at batch boundaries) -> *released* (as if we were not there). The agent has no thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec

from gputune.probes import knob
from gputune.probes.agent import clock, gates, inputs
from gputune.probes.agent.alone import Alone
from gputune.probes.agent.discovery import Discovery
from gputune.probes.agent.hooks import Attached
from gputune.probes.agent.interludes import Interludes
from gputune.probes.agent.line import Line, end_process
from gputune.probes.agent.measurer import Instruments, Measurer
from gputune.probes.agent.offload import Offload
from gputune.probes.agent.ranks import Ranks
from gputune.probes.agent.recorder import forget_yielded
from gputune.probes.agent.replay import ReplayCache
from gputune.probes.agent.sites import Site, Sites
from gputune.probes.agent.steps import StepCounter
from gputune.probes.burst import StallKind
from gputune.probes.channel import Channel
from gputune.probes.protocol import PROTOCOL_VERSION, Environment, Goodbye, Hello, Knob, Order


class Conductor:
    """Finds the training loader of one process and has it measured.

    Args:
        channel: to the tuner.
        sites: registry of construction sites.
        steps: counter of optimiser steps.
        ring: where workers put their stamps.
        environment: called once, when the training loader is known.
        claim: called once before that; false where another process of the command is conducted already.
        ranks: this process's part in a job of several.
        started_s: monotonic time at which the agent came.
        offload: the stand-ins for saving and logging, where they outlive the conductor.
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
        ranks: Ranks,
        started_s: float,
        offload: Offload | None = None,
    ) -> None:
        self.alone: Alone | None = None
        self.offload = offload or Offload(self.checkpointed, self.logged)
        self._line, self._sites, self._ring = Line(channel), sites, ring
        self._environment, self._claim, self._started_s = environment, claim, started_s
        self._ranks = ranks
        self._discovery = Discovery(steps)
        self._interludes, self._cache = Interludes(), ReplayCache()
        self._instruments = Instruments(steps, ring, self._interludes, self._cache, self.offload)
        self._target: Site | None = None
        self._measurer: Measurer | None = None
        self._released = self._inside = False
        self._first_batch_after_s = 0.0

    @property
    def released(self) -> bool:
        """Whether the tuner has let go of this process."""
        return self._released

    # -- what the hooks call ------------------------------------------------------------------------------------

    @property
    def deadline_s(self) -> float | None:
        """Monotonic time after which a wait for workers is given up; ``None``: never."""
        return self._measurer.deadline_s if self._measurer else None

    def next_batch(self, iterator: Any, attached: Attached, original: Callable[[Any], Any]) -> Any:
        """Return the next batch of any loader of the process."""
        if self._released or self._inside:
            return original(iterator)
        site = attached.site
        if attached.fresh:
            attached.avoid_cycle(iterator)
        if self._target is None and not self._starts(attached):
            return original(iterator)
        self._inside = True
        try:
            if self._measurer is None or site is not self._target:
                return self._watched(iterator, attached, original)
            return self._measurer.next_batch(iterator, attached, original)
        finally:
            self._inside = False
            self._released = self._measurer is not None and self._measurer.released

    def _starts(self, attached: Attached) -> bool:
        """Take over if this is the loader to conduct; return whether we are still interested in this process."""
        if self._ranks.follows(attached.site):
            self._take_over(attached)
        elif self._ranks.may_lead and self._discovery.found(attached.site):
            if self._claim():
                self._take_over(attached)
            else:
                self._released = True
        return not self._released

    def checkpointed(self, kind: StallKind, start_s: float, duration_s: float) -> None:
        """Note a ``torch.save`` on the main thread."""
        self._interludes.saved(start_s, duration_s)

    def logged(self, start_s: float, duration_s: float, library: str) -> None:
        """Note a logger's call on the main thread; inside ``next()`` it is part of the wait."""
        if not self._inside and not self._released:
            self._interludes.logged(start_s, duration_s, library)

    def goodbye(self) -> None:
        """Tell the tuner what was seen, when the script ends by itself."""
        if not self._released and self._ranks.may_lead:
            if self._measurer is not None:
                self._measurer.end_early()
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
            forget_yielded(iterator)
        elif attached.site.role == "unknown":
            attached.site.role = "validation"
        return batch

    def _take_over(self, attached: Attached) -> None:
        """Begin to measure the loader that trains; the first rank says hello for all."""
        site, loader = attached.site, attached.loader
        self._target = site
        site.learn(loader)
        party = self._ranks.party(self._line, site)
        environment = msgspec.structs.replace(
            self._environment(), ranks=party.count, ranks_elsewhere=self._ranks.identity.world - party.count
        )
        self._interludes.take()
        found = gates.check(
            loader,
            asked_worker_info=self._ring.worker_info_asked(),
            iterable=bool(site.facts.get("iterable")),
            batch=self._cache.last,
        )
        knobs = knob.declared(self._started_s + self._first_batch_after_s)
        self._cache.clear()
        self._measurer = Measurer(party, self._sites, self._instruments, attached, environment)
        hello = Hello(
            protocol=PROTOCOL_VERSION,
            environment=environment,
            loader=site.record(),
            loaders=self._sites.records(),
            gates=found,
            knobs=[Knob(name=k.name, choices=list(k.choices), live=k.live) for k in knobs],
            modules=inputs.own_modules(),
            data=inputs.data_files(loader.dataset),
            startup_s=self._first_batch_after_s,
        )
        party.say(hello)
