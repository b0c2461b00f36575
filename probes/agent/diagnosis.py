"""The diagnostic burst: samples stacks in the workers and on the main thread while a burst runs."""

from __future__ import annotations

import threading

from gputune.probes.agent.board import Board
from gputune.probes.agent.stacks import StackSampler, shared_out
from gputune.probes.burst import Hotspot


class Diagnosis:
    """Samples between :meth:`begin` and :meth:`end`; outside of that no thread exists.

    Args:
        board: where workers post what they saw.
    """

    def __init__(self, board: Board) -> None:
        self._board = board
        self._sampler: StackSampler | None = None

    def prepare(self) -> None:
        """Let every worker started from now on be sampled."""
        self._board.want(True)

    def begin(self) -> None:
        """Start sampling the main thread; after the workers were forked, because a fork copies no thread."""
        self._sampler = StackSampler(threading.main_thread().ident or 0)
        self._sampler.start()

    def end(self) -> list[Hotspot]:
        """Stop and return what was seen (nothing when it was not begun)."""
        if self._sampler is None:
            self._board.want(False)
            return []
        self._sampler.stop()
        seconds = dict(self._sampler.seconds)
        for key, value in self._board.read().items():
            seconds[key] = seconds.get(key, 0.0) + value
        self._board.want(False)
        self._sampler = None
        return shared_out(seconds)


def sample_worker(board: Board, worker: int) -> None:
    """Sample this worker's only thread for the rest of its life, if that is wanted."""
    from gputune.probes.agent.board import PAGES

    if board.wanted and worker < PAGES:
        StackSampler(threading.get_ident(), lambda seconds: board.post(worker, seconds), publish_s=0.1).start()
