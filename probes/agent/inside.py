"""The agent in a process that asks for it itself: a notebook, or a program that calls ``gputune.profile``.

The hooks stay for the life of the process and hand batches through while nothing is being measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from gputune.probes.agent import clock, ranks_board, start, torch_private
from gputune.probes.agent.conductor import Conductor
from gputune.probes.agent.hooks import Attached, LoaderHooks
from gputune.probes.agent.offload import Offload
from gputune.probes.agent.ranks import Ranks
from gputune.probes.agent.sites import Sites
from gputune.probes.agent.steps import StepCounter
from gputune.probes.burst import StallKind
from gputune.probes.channel import Channel
from gputune.probes.protocol import Order


class LoopOver(BaseException):
    """Ends the user's loop from inside ``next()`` when enough is known; no ``except Exception`` stops it."""


class TorchUnknown(Exception):
    """This torch cannot be measured; the message says what it lacks."""


class Inside:
    """The hooks of this process, and whoever listens to them now.

    Raises:
        TorchUnknown: batches cannot be timed on this torch.
    """

    def __init__(self) -> None:
        from torch.utils.data import dataloader

        if not torch_private.can_measure(dataloader):
            raise TorchUnknown(torch_private.lacking(dataloader))
        self._dataloader: Any = dataloader
        self._sites, self._steps, self._ring = Sites(), StepCounter(), clock.Ring()
        self._conductor: Conductor | None = None
        signals = self._dataloader._utils.signal_handling
        handler = signals._set_SIGCHLD_handler
        LoaderHooks(self._dataloader, self._sites, self).install()
        self._handlers = (handler, signals._set_SIGCHLD_handler)
        self._watch_dead_workers(0)
        clock.install(self._ring)
        self._steps.install()
        self._offload = Offload(self._checkpointed, self._logged)
        self._offload.saving.install()
        self._offload.logging.install(lambda name, callback: None)

    @contextmanager
    def conducted(self, channel: Channel[Order]) -> Iterator[Callable[[], int]]:
        """Let the tuner at the other end of the channel conduct the loop that runs meanwhile.

        Yields:
            A function that returns how many batches were taken so far.
        """
        self._steps.count = 0
        self._conductor = Conductor(
            channel,
            self._sites,
            self._steps,
            self._ring,
            environment=lambda: start.describe(self._dataloader),
            claim=lambda: True,
            ranks=Ranks(ranks_board.create(), self._ring.fd),
            started_s=time.monotonic(),
            offload=self._offload,
        )
        self._watch_dead_workers(1)
        try:
            yield lambda: sum(site.batches for site in self._sites.records())
        finally:
            self._conductor = None
            self._offload.stop()
            self._watch_dead_workers(0)

    def _watch_dead_workers(self, whose: int) -> None:
        """Have torch's handler in place (0), or ours while trials may kill workers (1)."""
        self._dataloader._utils.signal_handling._set_SIGCHLD_handler = self._handlers[whose]

    @property
    def deadline_s(self) -> float | None:
        """As :class:`gputune.probes.agent.hooks.Listener`."""
        return self._conductor.deadline_s if self._conductor else None

    def next_batch(self, iterator: Any, attached: Attached, original: Callable[[Any], Any]) -> Any:
        """As :class:`gputune.probes.agent.hooks.Listener`; ends the loop when the tuner has let go."""
        if self._conductor is None:
            return original(iterator)
        batch = self._conductor.next_batch(iterator, attached, original)
        if self._conductor.released:
            raise LoopOver
        return batch

    def _checkpointed(self, kind: StallKind, start_s: float, duration_s: float) -> None:
        if self._conductor is not None:
            self._conductor.checkpointed(kind, start_s, duration_s)

    def _logged(self, start_s: float, duration_s: float, library: str) -> None:
        if self._conductor is not None:
            self._conductor.logged(start_s, duration_s, library)
