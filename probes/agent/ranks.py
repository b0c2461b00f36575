"""How the ranks of a job on one machine find together.

The first rank talks to the tuner; the others follow it through the :class:`RankBoard`. Nobody follows before the
first rank has found the loader that trains, so a rank that never loads anything is left alone.
"""

from __future__ import annotations

import os
import time

from gputune.probes.agent.line import Line
from gputune.probes.agent.ranks_board import MAX_RANKS, NOT_DUE, Plan, RankBoard, site_number
from gputune.probes.agent.ranks_identity import Identity, identity
from gputune.probes.agent.ranks_party import Follower, Leader, Party
from gputune.probes.agent.sites import Site

JOIN_S = 5.0
"""How long the first rank waits for the others to have asked for a batch of the same loader."""
POLL_S = 0.001


class Ranks:
    """This process's part in the job's ranks, until it is conducted.

    Args:
        board_fd: the descriptor of the board.
        ring_fd: the descriptor of the memory that this process's workers put their stamps into.
    """

    def __init__(self, board_fd: int, ring_fd: int) -> None:
        self._board_fd, self._ring_fd = board_fd, ring_fd
        self._board: RankBoard | None = None
        self._joined_by = 0
        self.identity = Identity()

    def follows(self, site: Site) -> bool:
        """Note that ``site`` is asked for its next batch; return whether the first rank has chosen this loader."""
        if not self._take_part():
            return False
        board, slot = self._board, self.identity.local_rank
        assert board is not None
        number = site_number(*site.key)
        with board.locked():
            board.asks(slot, number, site.batches)
            plan = board.plan()
        return slot != 0 and plan.site == number and site.batches <= plan.due

    @property
    def may_lead(self) -> bool:
        """Whether this process is the one of its job to be conducted."""
        return self.identity.local_rank == 0

    def _take_part(self) -> bool:
        """Join the board as soon as it is known that there are several ranks."""
        if self._board is not None and self._joined_by == os.getpid():
            return True
        self.identity = identity()
        if self.identity.local_world < 2 or self.identity.local_rank >= MAX_RANKS:
            return False
        self._board, self._joined_by = RankBoard(self._board_fd), os.getpid()
        self._board.join(self.identity.local_rank, self.identity.rank, self.identity.world, self._ring_fd)
        return True

    def party(self, line: Line, site: Site) -> Party:
        """Return how orders reach this process, now that it is to be measured."""
        board, slot = self._board, self.identity.local_rank
        if board is None:
            return Party(line)
        if slot:
            return Follower(line, board, slot, site_number(*site.key))
        return self._lead(line, board, site_number(*site.key))

    def _lead(self, line: Line, board: RankBoard, site: int) -> Party:
        """Wait for the other ranks; those that do not load from this line are not waited for again."""
        until_s = time.monotonic() + JOIN_S
        wanted = min(self.identity.local_world, MAX_RANKS) - 1
        while len(found := _others(board, site)) < wanted and time.monotonic() < until_s:
            time.sleep(POLL_S)
        if not found:
            return Party(line)
        with board.locked():
            board.announce(Plan(0, NOT_DUE, site, os.getpid(), b""))
        return Leader(line, board, site, found)


def _others(board: RankBoard, site: int) -> list[int]:
    with board.locked():
        return [slot for slot in range(1, MAX_RANKS) if board.slot(slot).pid and board.asked(slot, site) is not None]
