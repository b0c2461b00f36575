"""How orders reach the ranks of a job, and how all of them take effect before the same batch.

*Why nobody waits for ever:* the ranks run one program, so before any of them asks for batch ``n`` it has taken part
in everything that another one needs to get there. The first rank calls the others to a batch that none of them has
asked for yet (the board is locked meanwhile), goes on to it itself, and all meet there. Whoever does not come in time
is said to be missing, and everybody goes on.
"""

from __future__ import annotations

import os
import time

import msgspec

from gputune.probes.agent.builder import BurstBuilder
from gputune.probes.agent.line import Line
from gputune.probes.agent.ranks_board import ARRIVED, FAILED, NOT_DUE, Plan, RankBoard, Record
from gputune.probes.agent.ranks_merge import merged
from gputune.probes.burst import Infeasible
from gputune.probes.protocol import Measure, Measured, Order, TrialFailed

MEET_S = 45.0
"""A rank may be busy with a trial that fails, or with a validation of its own, for about this long."""
POLL_S = 0.001
_DECODER: msgspec.msgpack.Decoder[Order] = msgspec.msgpack.Decoder(Order)


class RankFailed(RuntimeError):
    """The settings could not run in another rank; the message names it."""


class Party:
    """One process that trains alone: orders come from the tuner, and nobody has to be asked.

    Args:
        line: to the tuner.
    """

    count = 1
    """Ranks that are measured together."""
    decides = True
    """Whether this process says when a burst is complete."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def say(self, event: msgspec.Struct) -> None:
        """Answer an order."""
        self._line.say(event)

    def next_order(self, index: int) -> Order | None:
        """Wait for the next order, which takes effect before batch ``index``; ``None``: not yet."""
        return self._line.next_order()

    def is_due(self, index: int) -> bool:
        """Whether the next order takes effect before batch ``index``, whatever is under way."""
        return False

    def check(self) -> None:
        """Look whether the others carry out the order, too.

        Raises:
            RankFailed: one cannot.
        """

    def measured(self, index: int, builder: BurstBuilder) -> None:
        """Note what the burst gained by batch ``index``."""


class Leader(Party):
    """The first of several ranks: hands the tuner's orders on and answers for all.

    Args:
        line: to the tuner.
        board: shared by the ranks.
        site: the loader that is conducted.
        others: slots of the ranks that follow.
    """

    def __init__(self, line: Line, board: RankBoard, site: int, others: list[int]) -> None:
        super().__init__(line)
        self.count = 1 + len(others)
        self._board, self._site, self._others = board, site, others
        self._generation, self._due = 0, NOT_DUE
        self._order: Order | None = None
        self._indices: list[int] = []

    def say(self, event: msgspec.Struct) -> None:
        """As :meth:`Party.say`, with what all ranks measured."""
        if isinstance(event, Measured):
            burst = merged(event.burst, self._indices, self._board, [0, *self._others])
            event = msgspec.structs.replace(event, burst=burst)
        self._line.say(event)

    def next_order(self, index: int) -> Order | None:
        """Take an order from the tuner, call the others to a batch ahead, and meet them there."""
        if self._order is None:
            self._order = self._line.next_order()
            self._call(self._order, index)
        if index < self._due:
            return None
        order, self._order, self._indices = self._order, None, []
        if missing := self._missing():
            self._call_off(order, f"{missing} did not come to the same batch within {MEET_S:.0f} s")
            return None
        self._board.mark(0, ARRIVED, self._generation)
        return order

    def _call(self, order: Order, index: int) -> None:
        """Choose the batch to meet at: the first that nobody can have asked for."""
        self._generation += 1
        with self._board.locked():
            asked = [self._board.asked(slot, self._site) or 0 for slot in self._others]
            self._due = max(index, *(other + 1 for other in asked))
            self._announce(self._due, msgspec.msgpack.encode(order))

    def _announce(self, due: int, order: bytes) -> None:
        self._board.announce(Plan(self._generation, due, self._site, os.getpid(), order))

    def _missing(self) -> str:
        """Wait until all others have come; return who has not."""
        until_s = time.monotonic() + MEET_S
        while True:
            late = [slot for slot in self._others if self._board.slot(slot).arrived < self._generation]
            if not late:
                return ""
            if time.monotonic() > until_s or not all(_alive(self._board.slot(slot).pid) for slot in late):
                return ", ".join(f"rank {self._board.slot(slot).rank}" for slot in late)
            time.sleep(POLL_S)

    def _call_off(self, order: Order, reason: str) -> None:
        with self._board.locked():
            self._announce(NOT_DUE, b"")
        if isinstance(order, Measure):
            failed = Infeasible(settings=order.settings, purpose=order.purpose, reason=reason)
            self._line.say(TrialFailed(id=order.id, infeasible=failed))

    def check(self) -> None:
        """As :meth:`Party.check`."""
        for slot in self._others:
            found = self._board.slot(slot)
            if found.failed == self._generation:
                raise RankFailed(f"rank {found.rank}: {self._board.reason(slot)}")

    def measured(self, index: int, builder: BurstBuilder) -> None:
        """As :meth:`Party.measured`: remember which batches count."""
        if len(builder.period_s) > len(self._indices):
            self._indices.append(index)
            _record(self._board, 0, index, builder)


class Follower(Party):
    """Any other rank: does what the first one is told, before the same batch, and says nothing to the tuner.

    Args:
        line: to the tuner.
        board: shared by the ranks.
        slot: this rank's on the board.
        site: the loader that is conducted.
    """

    decides = False

    def __init__(self, line: Line, board: RankBoard, slot: int, site: int) -> None:
        super().__init__(line)
        self._board, self._slot, self._site = board, slot, site
        self._generation = 0

    def say(self, event: msgspec.Struct) -> None:
        """Let the first rank know of a failure; what was measured lies on the board."""
        if isinstance(event, TrialFailed):
            with self._board.locked():
                self._board.mark(self._slot, FAILED, self._generation, event.infeasible.reason)

    def is_due(self, index: int) -> bool:
        """As :meth:`Party.is_due`, and tell the first rank how far this one is."""
        with self._board.locked():
            self._board.asks(self._slot, self._site, index)
            plan = self._board.plan()
        return plan.generation > self._generation and index >= plan.due

    def next_order(self, index: int) -> Order | None:
        """Meet the others where the first rank has called them to, if that is before this batch."""
        if not self.is_due(index):
            return None
        plan = self._board.plan()
        self._generation = plan.generation
        self._board.mark(self._slot, ARRIVED, plan.generation)
        while self._board.slot(0).arrived < plan.generation:
            if self._board.plan().due == NOT_DUE or not _alive(plan.leader_pid):
                return None
            time.sleep(POLL_S)
        return _DECODER.decode(plan.order)

    def measured(self, index: int, builder: BurstBuilder) -> None:
        """As :meth:`Party.measured`: put it where the first rank finds it."""
        _record(self._board, self._slot, index, builder)


def _record(board: RankBoard, slot: int, index: int, builder: BurstBuilder) -> None:
    if builder.period_s:
        board.record(slot, index, Record(builder.period_s[-1], builder.wait_s[-1], float(builder.samples[-1])))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True
