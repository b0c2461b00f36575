"""The ledger of a burst: where the wall time went, line by line. Pure functions of a stored burst.

Two columns that must not be mixed. ``burst_s`` is what happened inside the burst and adds up to its wall
time;
``step_s`` is what an average step costs in a long run: events are amortised at their true frequency, so that
an epoch end met once in a burst of 40 batches counts once per epoch and not 25 times too often.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from itertools import pairwise
from statistics import fmean, median

import msgspec

from gputune import words
from gputune.probes.burst import Burst, Stall, StallKind
from gputune.probes.protocol import LoaderSite
from gputune.timeline import Interval, length, measured, measured_from_s, subtract, union


class Line(Enum):
    """The lines of a ledger, in the order reports show them."""

    WAIT = "wait"
    COPY = "copy"
    CHECKPOINT = "checkpoint"
    VALIDATION = "validation"
    LOGGING = "logging"
    EPOCH = "epoch"
    COMPUTE = "compute"
    WARMUP = "warmup"


class Quality(Enum):
    """How a number came about."""

    MEASURED = "measured"
    ESTIMATED = "estimated"
    MISSING = "missing"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a ledger."""

    line: Line
    burst_s: float
    """Seconds of the burst's own wall time."""
    step_s: float
    """Seconds an average step costs, events amortised at their true frequency."""
    share: float
    """Part of the average step, 0 to 1."""
    quality: Quality
    note: str = ""


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """All lines; ``burst_s`` sums to ``wall_s``, ``step_s`` sums to the ledger's ``step_s``."""

    entries: list[Entry]
    wall_s: float
    step_s: float

    def entry(self, line: Line) -> Entry:
        """Return the entry of one line."""
        return next(entry for entry in self.entries if entry.line is line)


_PRIORITY = (
    (StallKind.CHECKPOINT, Line.CHECKPOINT),
    (StallKind.VALIDATION, Line.VALIDATION),
    (StallKind.LOGGING, Line.LOGGING),
    (StallKind.COPY, Line.COPY),
    (StallKind.EPOCH, Line.EPOCH),
)
"""Events nest (a checkpoint inside an epoch end); each moment is charged to the first kind of this order."""


class _Events(msgspec.Struct, frozen=True, kw_only=True):
    """The events of one kind."""

    inside_s: float
    """Time inside ordinary step periods."""
    between_s: float
    """Time inside epoch ends and validations, which the arrays of a burst leave out."""
    count: int
    gap_batches: float | None
    """Batches from one event to the next, when two or more were seen."""
    at_epoch_end: bool


def of_burst(burst: Burst, site: LoaderSite | None = None) -> Ledger | None:
    """Return the ledger of a burst, or ``None`` when it holds no measured batch.

    Args:
        burst: what was measured.
        site: the loader, for the length of an epoch and the role of other loaders.
    """
    count = len(burst.period_s)
    if not measured(burst):
        return None
    events = _events(burst)
    epoch = site.batches_per_epoch if site else None
    wait_s = sum(burst.wait_s)
    entries = [(Line.WAIT, wait_s, wait_s / count, Quality.MEASURED, "")]
    for _, line in _PRIORITY[::-1]:
        step_s, quality, note = _amortise(line, events[line], burst, epoch)
        entries.append((line, events[line].inside_s + events[line].between_s, step_s, quality, note))
    order = list(Line)
    entries.sort(key=lambda entry: order.index(entry[0]))
    inside_s = sum(event.inside_s for event in events.values())
    compute_s = max(0.0, sum(burst.period_s) - wait_s - inside_s)
    entries.append((Line.COMPUTE, compute_s, compute_s / count, Quality.MEASURED, ""))
    wall_s = burst.end_s - burst.start_s
    rest_s = wall_s - sum(entry[1] for entry in entries)
    entries.append((Line.WARMUP, rest_s, 0.0, Quality.MEASURED, words.WARMUP_NOTE))
    step_s = sum(entry[2] for entry in entries)
    return Ledger(entries=[_entry(*entry, step_s) for entry in entries], wall_s=wall_s, step_s=step_s)


def _entry(line: Line, burst_s: float, step_s: float, quality: Quality, note: str, total_s: float) -> Entry:
    share = step_s / total_s
    return Entry(line=line, burst_s=burst_s, step_s=step_s, share=share, quality=quality, note=note)


def _events(burst: Burst) -> dict[Line, _Events]:
    """Charge each moment of a stall to one kind, apart for moments inside and between ordinary periods."""
    first_s = measured_from_s(burst)
    stalls = [stall for stall in burst.stalls if stall.start_s >= first_s - 1e-9]
    between = union(_intervals(stalls, StallKind.EPOCH, StallKind.VALIDATION))
    busy_s = sum(burst.period_s) - sum(burst.wait_s)
    taken: list[Interval] = []
    found: dict[Line, _Events] = {}
    for kind, line in _PRIORITY:
        own = [stall for stall in stalls if stall.kind is kind]
        free = subtract(union(_intervals(own, kind)), taken)
        inside_s = min(length(subtract(free, between)), busy_s)
        busy_s -= inside_s
        found[line] = _Events(
            inside_s=inside_s,
            between_s=length(free) - length(subtract(free, between)),
            count=len(own),
            gap_batches=_gap(own),
            at_epoch_end=bool(own) and all(_inside(stall, between) for stall in own),
        )
        taken = union([*taken, *free])
    return found


def _intervals(stalls: Iterable[Stall], *kinds: StallKind) -> list[Interval]:
    return [(stall.start_s, stall.start_s + stall.duration_s) for stall in stalls if stall.kind in kinds]


def _inside(stall: Stall, intervals: list[Interval]) -> bool:
    return any(start - 1e-9 <= stall.start_s <= end for start, end in intervals)


def _gap(stalls: list[Stall]) -> float | None:
    gaps = [later.batch - earlier.batch for earlier, later in pairwise(stalls)]
    return median(gaps) if gaps else None


def _amortise(line: Line, events: _Events, burst: Burst, epoch: int | None) -> tuple[float, Quality, str]:
    """Return seconds per step, how sure that is, and a note."""
    total_s, count = events.inside_s + events.between_s, len(burst.period_s)
    if not events.count:
        return _not_met(line, burst, epoch)
    each_s = total_s / events.count
    once_an_epoch = line is Line.EPOCH or (events.at_epoch_end and (not events.gap_batches))
    if once_an_epoch and epoch:
        return each_s / epoch, Quality.MEASURED, words.once_an_epoch(each_s, epoch)
    if events.gap_batches and events.gap_batches >= 1:
        every = events.gap_batches
        return each_s / every, Quality.MEASURED, words.every_batches(each_s, every) if every > 1 else ""
    if line is Line.COPY or events.gap_batches is not None:
        return total_s / count, Quality.MEASURED, ""
    return total_s / count, Quality.ESTIMATED, words.seen_once(each_s, count)


def _not_met(line: Line, burst: Burst, epoch: int | None) -> tuple[float, Quality, str]:
    settings = burst.settings
    starts_each_epoch = line is Line.EPOCH and settings.num_workers and not settings.persistent_workers
    if starts_each_epoch and burst.first_batch_s > 0 and epoch:
        start_s = max(0.0, burst.first_batch_s - _service_s(burst))
        return start_s / epoch, Quality.ESTIMATED, words.start_up_estimate(start_s, epoch)
    untold = [reason for reason in burst.missing if line is Line.COPY and reason.startswith("copies")]
    return 0.0, Quality.MISSING, untold[0] if untold else words.not_met(len(burst.period_s))


def _service_s(burst: Burst) -> float:
    return fmean(batch.fetch_s + batch.collate_s for batch in burst.workers) if burst.workers else 0.0
