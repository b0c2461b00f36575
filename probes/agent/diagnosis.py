"""The diagnostic burst: samples stacks in the workers and on the main thread, and looks for waits for the device."""

from __future__ import annotations

import sys
import threading
from typing import NamedTuple

from gputune.probes.agent import accelerator
from gputune.probes.agent.board import Board
from gputune.probes.agent.stacks import StackSampler, shared_out
from gputune.probes.agent.syncs import SyncWatch
from gputune.probes.burst import Hotspot, SyncPoint


class Seen(NamedTuple):
    """What a diagnostic burst saw; empty for any other burst."""

    hotspots: list[Hotspot]
    syncs: list[SyncPoint]
    missing: list[str]


class Diagnosis:
    """Samples between :meth:`begin` and :meth:`end`; outside of that no thread exists.

    Args:
        board: where workers post what they saw.
    """

    def __init__(self, board: Board) -> None:
        self._board = board
        self._sampler: StackSampler | None = None
        self._syncs: SyncWatch | None = None

    def prepare(self) -> None:
        """Let every worker started from now on be sampled."""
        self._board.want(True)

    def begin(self) -> None:
        """Start sampling the main thread; after the workers were forked, because a fork copies no thread."""
        self._sampler = StackSampler(threading.main_thread().ident or 0)
        self._sampler.start()
        device = accelerator.present()
        if device is not None:
            self._syncs = SyncWatch(sys.modules["torch"].Tensor, device)

    def end(self) -> Seen:
        """Stop and return what was seen (nothing when it was not begun)."""
        if self._sampler is None:
            self._board.want(False)
            return Seen([], [], [])
        self._sampler.stop()
        watch, self._syncs = self._syncs, None
        points = watch.end() if watch else []
        seconds = dict(self._sampler.seconds)
        for key, value in self._board.read().items():
            seconds[key] = seconds.get(key, 0.0) + value
        self._board.want(False)
        self._sampler = None
        return Seen(shared_out(seconds), points, [watch.missing] if watch and watch.missing else [])


def sample_worker(board: Board, worker: int) -> None:
    """Sample this worker's only thread for the rest of its life, if that is wanted."""
    from gputune.probes.agent.board import PAGES

    if board.wanted and worker < PAGES:
        StackSampler(threading.get_ident(), lambda seconds: board.post(worker, seconds), publish_s=0.1).start()
