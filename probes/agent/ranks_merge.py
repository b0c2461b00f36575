"""One burst of a job out of what its ranks measured."""

from __future__ import annotations

from statistics import fmean

import msgspec

from gputune.probes.agent.clock import Ring
from gputune.probes.agent.ranks_board import RankBoard, Record
from gputune.probes.burst import Burst, RankUse, WorkerBatch


def merged(burst: Burst, indices: list[int], board: RankBoard, slots: list[int]) -> Burst:
    """Return the job's burst.

    A step ends when the last rank has its gradients, so all have the same period; the job waits for data as long as
    the rank that waits longest, and its samples are those of all ranks. Worker stamps are those of that slowest rank.

    Args:
        burst: the first rank's own.
        indices: the batches behind its ``period_s``.
        board: what every rank measured.
        slots: the ranks' slots, the first one's first.
    """
    rows = {slot: [board.recorded(slot, index) for index in indices] for slot in slots}
    rows[slots[0]] = [Record(*values) for values in zip(burst.period_s, burst.wait_s, burst.samples, strict=True)]
    ranks = [use for slot, row in rows.items() if (use := _use(board, slot, row)) is not None]
    at = list(zip(*rows.values(), strict=True)) if indices else []
    return msgspec.structs.replace(
        burst,
        wait_s=[
            min(period_s, max(record.wait_s for record in batch if record))
            for period_s, batch in zip(burst.period_s, at, strict=True)
        ],
        samples=[round(sum((record or batch[0]).samples for record in batch)) for batch in at],
        workers=_stamps(burst, board, slots, ranks),
        ranks=ranks,
    )


def _use(board: RankBoard, slot: int, row: list[Record | None]) -> RankUse | None:
    seen = [record for record in row if record]
    if not seen:
        return None
    return RankUse(
        rank=board.slot(slot).rank,
        samples_per_batch=fmean(record.samples for record in seen),
        wait_s=fmean(record.wait_s for record in seen),
        period_s=fmean(record.period_s for record in seen),
    )


_rings: dict[tuple[int, int], Ring] = {}
"""Rings of other ranks, mapped once."""


def _stamps(burst: Burst, board: RankBoard, slots: list[int], ranks: list[RankUse]) -> list[WorkerBatch]:
    """Return the worker stamps of the rank that waits longest; every ring is read, so that none holds old stamps."""
    found = {board.slot(slots[0]).rank: burst.workers}
    for slot in slots[1:]:
        place = board.slot(slot)
        key = (place.pid, place.ring_fd)
        if key not in _rings:
            try:
                _rings[key] = Ring(f"/proc/{place.pid}/fd/{place.ring_fd}")
            except OSError:  # that rank has ended meanwhile
                continue
        stamps = _rings[key].drain()
        found[place.rank] = [w for w in stamps if w.start_s + w.fetch_s + w.collate_s >= burst.start_s]
    slowest = max(ranks, key=lambda use: use.wait_s).rank if ranks else -1
    return found.get(slowest) or burst.workers
