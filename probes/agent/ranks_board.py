"""The memory that the ranks of one job share on a machine: where each is, and where they meet.

One memory file (memfd, made by the tuner, kept open by the command) holds a header written by the first rank, a slot
a rank and a table of what each rank measured batch by batch. Whatever two processes could disagree about is read and
written under a lock of the file, which the kernel lets go when its holder dies.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

MAX_RANKS = 64
"""Ranks beyond this many on one machine are not conducted."""
MAX_SITES = 16
"""Loaders of one rank that are counted while it is not known which one trains."""
RECORDS = 8192
"""Batches remembered per rank: far more than a burst has."""
NOT_DUE = 2**63 - 1

_PLAN = struct.Struct("<QqQQI")  # generation, index at which it is due, site, first rank's pid, length of the order
_SLOT = struct.Struct("<QQQQQQ")  # pid, rank, world, ring's descriptor, arrived, failed (generations)
_SITE = struct.Struct("<QQ")  # site, index of the batch asked for last
_RECORD = struct.Struct("<Qddd")  # index, period, wait, samples
_REASON = struct.Struct("<I")
_HEADER_BYTES = 4096
_REASON_AT = _SLOT.size + MAX_SITES * _SITE.size
_REASON_BYTES = 512
_SLOT_BYTES = 1024
_RECORDS_AT = _HEADER_BYTES + MAX_RANKS * _SLOT_BYTES
BYTES = _RECORDS_AT + MAX_RANKS * RECORDS * _RECORD.size
"""Size of the file; pages nobody writes take no memory."""
ARRIVED, FAILED = 4, 5
"""Columns of a slot: the generation of the order that a rank has met the others for, or failed to carry out."""


class Plan(NamedTuple):
    """What the first rank wants of all."""

    generation: int
    """Counts the orders; 0 before the first."""
    due: int
    """Index of the batch before which the ranks meet."""
    site: int
    """Which loader is conducted (:func:`site_number`); 0 while it is not known."""
    leader_pid: int
    order: bytes


class Slot(NamedTuple):
    """Where one rank is."""

    pid: int
    rank: int
    world: int
    ring_fd: int
    """Descriptor, in that process, of the memory its workers put their stamps into."""
    arrived: int
    failed: int


class Record(NamedTuple):
    """One batch of one rank: seconds, and samples."""

    period_s: float
    wait_s: float
    samples: float


def create() -> int:
    """Return the descriptor of a new board."""
    fd = os.memfd_create("gputune-ranks", os.MFD_CLOEXEC)
    os.ftruncate(fd, BYTES)
    return fd


def site_number(file: str, line: int) -> int:
    """Return what a construction site is called on the board, the same in every rank."""
    return zlib.crc32(f"{file}:{line}".encode()) + 1


class RankBoard:
    """One process's view of the board."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._map = mmap.mmap(fd, BYTES)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the board; nobody else reads or writes what has to fit together."""
        fcntl.lockf(self._fd, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self._fd, fcntl.LOCK_UN)

    # -- the plan -----------------------------------------------------------------------------------------------

    def plan(self) -> Plan:
        """Return the first rank's plan."""
        generation, due, site, leader_pid, length = _PLAN.unpack_from(self._map, 0)
        return Plan(generation, due, site, leader_pid, self._map[_PLAN.size : _PLAN.size + length])

    def announce(self, plan: Plan) -> None:
        """Write the plan; the caller holds the board.

        Raises:
            ValueError: the order is too long.
        """
        if _PLAN.size + len(plan.order) > _HEADER_BYTES:
            raise ValueError(f"an order of {len(plan.order)} bytes does not fit")
        _PLAN.pack_into(self._map, 0, *plan[:4], len(plan.order))
        self._map[_PLAN.size : _PLAN.size + len(plan.order)] = plan.order

    # -- the slots ----------------------------------------------------------------------------------------------

    def join(self, slot: int, rank: int, world: int, ring_fd: int) -> None:
        """Take a slot for this process."""
        self._map[self._at(slot) : self._at(slot) + _SLOT_BYTES] = bytes(_SLOT_BYTES)
        _SLOT.pack_into(self._map, self._at(slot), os.getpid(), rank, world, ring_fd, 0, 0)

    def slot(self, slot: int) -> Slot:
        """Return a slot; its pid is 0 where no rank has joined."""
        return Slot(*_SLOT.unpack_from(self._map, self._at(slot)))

    def mark(self, slot: int, column: int, generation: int, reason: str = "") -> None:
        """Set one of the columns of a slot, with a reason if it failed; only its own rank does."""
        if reason:
            text = reason.encode()[: _REASON_BYTES - _REASON.size]
            at = self._at(slot) + _REASON_AT
            _REASON.pack_into(self._map, at, len(text))
            self._map[at + _REASON.size : at + _REASON.size + len(text)] = text
        struct.pack_into("<Q", self._map, self._at(slot) + 8 * column, generation)

    def reason(self, slot: int) -> str:
        """Return why a rank failed."""
        at = self._at(slot) + _REASON_AT
        (length,) = _REASON.unpack_from(self._map, at)
        return self._map[at + _REASON.size : at + _REASON.size + length].decode(errors="replace")

    def asks(self, slot: int, site: int, index: int) -> None:
        """Note that a rank asks for batch ``index`` of a loader; the caller holds the board."""
        for at in self._sites(slot):
            known, _ = _SITE.unpack_from(self._map, at)
            if known in (0, site):
                _SITE.pack_into(self._map, at, site, index)
                return

    def asked(self, slot: int, site: int) -> int | None:
        """Return the index of the batch a rank asked for last, ``None`` where it never asked that loader."""
        for at in self._sites(slot):
            known, index = _SITE.unpack_from(self._map, at)
            if known == site:
                return int(index)
        return None

    def _sites(self, slot: int) -> range:
        first = self._at(slot) + _SLOT.size
        return range(first, first + MAX_SITES * _SITE.size, _SITE.size)

    # -- what was measured --------------------------------------------------------------------------------------

    def record(self, slot: int, index: int, record: Record) -> None:
        """Keep one measured batch of a rank."""
        _RECORD.pack_into(self._map, self._record_at(slot, index), index, *record)

    def recorded(self, slot: int, index: int) -> Record | None:
        """Return a measured batch of a rank, if it is still there."""
        found, *values = _RECORD.unpack_from(self._map, self._record_at(slot, index))
        return Record(*values) if found == index and values[0] > 0 else None

    def _record_at(self, slot: int, index: int) -> int:
        return _RECORDS_AT + (slot * RECORDS + index % RECORDS) * _RECORD.size

    @staticmethod
    def _at(slot: int) -> int:
        return _HEADER_BYTES + slot * _SLOT_BYTES
