"""Run -> findings: what costs time, how much, what to do, what that would give. Pure.

The most expensive finding that can be acted on is the cause; a loader's many symptoms (waiting, an empty queue, a
busy machine) make one finding, so that nothing is blamed twice. Wording is in :mod:`gputune.words`.
"""

from __future__ import annotations

from statistics import fmean

import msgspec

from gputune import cause_words, evidence, hotspots, ledger, loading, stats, training_thread
from gputune.cause import Cause, Finding, Severity
from gputune.ledger import Line
from gputune.probes.burst import Burst, Stall, StallKind, Where
from gputune.record import Run, Status
from gputune.timeline import measured

CAUSE_SHARE = 0.05
"""A finding that costs less than this part of wall time is not why a run is slow."""
SURE_SHARE = 0.10
"""A wait for data of this part is a cause however short the burst: many workers leave few rounds for an interval."""
FINDING_SHARE = 0.01
"""Below this it is not worth a sentence."""
GROWS_BYTES = 16 << 20
"""Growth of memory per 1,000 samples below which it is no matter within any patience."""
EPOCHS_LEFT = 3
"""Memory that lasts for more passes over the data is not worth a word."""
WAITS_ITSELF = 0.5
"""A validation that waits for its own loader for this part of its time has a slow loader."""

_LINES = {
    Line.VALIDATION: (Cause.VALIDATION, StallKind.VALIDATION),
    Line.CHECKPOINT: (Cause.CHECKPOINT, StallKind.CHECKPOINT),
    Line.LOGGING: (Cause.LOGGING, StallKind.LOGGING),
    Line.EPOCH: (Cause.WORKER_START, StallKind.EPOCH),
    Line.COPY: (Cause.COPY, StallKind.COPY),
}


def of(run: Run) -> list[Finding]:
    """Return the findings of any run, the cause first; an unmeasured run has none."""
    if run.status is Status.NO_LOADER:
        return _alone(run)
    base = run.baseline
    book = ledger.of_burst(base, run.loader) if base else None
    if not measured(base) or book is None:
        return []
    found = [
        *_waiting(run, base, book),
        *_events(run, base, book),
        *training_thread.findings(run, base, book),
        *_memory(run, base),
    ]
    found.sort(key=lambda finding: (finding.severity is Severity.NOTE, -finding.share))
    if not found or found[0].severity is Severity.NOTE or found[0].share < CAUSE_SHARE:
        return [_step(run, base), *found]
    return [msgspec.structs.replace(found[0], severity=Severity.CAUSE), *found[1:]]


def subject(run: Run) -> str:
    """Return who waits: the GPU, or on a machine without one the training loop."""
    return "GPU" if run.environment and run.environment.device.startswith("cuda") else "The training loop"


def _step(run: Run, base: Burst) -> Finding:
    wait_share = stats.data_wait_share(base)
    sentence = cause_words.step_bound(subject(run), stats.busy_s(base), wait_share)
    return Finding(cause=Cause.STEP, severity=Severity.CAUSE, share=1 - wait_share, sentence=sentence)


def _waiting(run: Run, base: Burst, book: ledger.Ledger) -> list[Finding]:
    now, share = stats.samples_per_s(base), book.entry(Line.WAIT).share
    ceiling = stats.samples_per_s(run.ceiling) if measured(run.ceiling) else None
    fine = evidence.is_healthy(now, ceiling) if ceiling else share < stats.HEADROOM_WORTH_TUNING
    if fine or share < FINDING_SHARE:
        return []
    found = loading.finding(run, base, ceiling, share)
    # A few late batches must not be called a cause: of a small share the whole interval must be above the threshold.
    sure = share >= SURE_SHARE or stats.data_wait_estimate(base).low >= CAUSE_SHARE
    return [found if sure else msgspec.structs.replace(found, severity=Severity.NOTE)]


def _events(run: Run, base: Burst, book: ledger.Ledger) -> list[Finding]:
    """Return findings for ledger lines of events, from other bursts where the baseline met none."""
    found = []
    for line, (cause, kind) in _LINES.items():
        entry, note = book.entry(line), book.entry(line).note
        share = entry.share
        if entry.quality is ledger.Quality.MISSING:
            share, note = _elsewhere(run, kind, book.step_s)
        if share < FINDING_SHARE:
            continue
        stalls = evidence.stalls(run, kind)
        cause, detail = _detailed(cause, stalls, base)
        name = line.value
        if cause is Cause.VALIDATION_LOADER:
            name, share = cause_words.VALIDATION_WAITS, share * _waits(stalls)  # the model's part stays
        found.append(
            Finding(
                cause=cause,
                share=share,
                sentence=cause_words.finding(name, share, "; ".join(filter(None, (detail, note)))),
                advice=cause_words.finding_advice(cause.value, base.settings),
                gain=1 / (1 - share),
                evidence={"each_s": fmean(stall.duration_s for stall in stalls)} if stalls else {},
            )
        )
    return found


def _elsewhere(run: Run, kind: StallKind, step_s: float) -> tuple[float, str]:
    """Return the share of an event the baseline did not meet, from how often the other bursts met it."""
    stalls = evidence.stalls(run, kind)
    batches = sum(len(burst.period_s) for burst in evidence.bursts(run))
    if kind is StallKind.EPOCH or not stalls:
        return 0.0, ""
    each_s, every = fmean(stall.duration_s for stall in stalls), batches / len(stalls)
    cost_s = each_s / every
    return cost_s / (step_s + cost_s), cause_words.seen_elsewhere(each_s, every)


def _waits(stalls: list[Stall]) -> float:
    """Return the part of validations' time that they waited for their own loader."""
    total_s = sum(stall.duration_s for stall in stalls)
    return sum(stall.wait_s for stall in stalls) / total_s if total_s else 0.0


def _detailed(cause: Cause, stalls: list[Stall], base: Burst) -> tuple[Cause, str]:
    """Return the cause made more precise by what the events themselves say, and the words for it."""
    if cause is Cause.WORKER_START and (not base.settings.num_workers or base.settings.persistent_workers):
        return Cause.EPOCH_END, ""
    if cause is Cause.VALIDATION and _waits(stalls) >= WAITS_ITSELF:
        return Cause.VALIDATION_LOADER, cause_words.validation_waits(_waits(stalls))
    if cause is Cause.LOGGING:
        return cause, ", ".join(sorted({stall.detail for stall in stalls if stall.detail}))
    return cause, ""


def _memory(run: Run, base: Burst) -> list[Finding]:
    """Return that memory will run out, where two bursts agree that it grows: one alone may be warming up."""
    grown = [evidence.growth_per_1000_bytes(burst) for burst in (base, run.diagnosis) if measured(burst)]
    available, length = run.machine.memory_available_bytes, run.loader.dataset_length if run.loader else None
    known = [growth for growth in grown if growth is not None]
    if len(known) < 2 or not available or min(known) < GROWS_BYTES:
        return []
    lasts = 1000 * available / min(known)
    if length and lasts > EPOCHS_LEFT * length:
        return []
    return [
        Finding(
            cause=Cause.MEMORY,
            severity=Severity.NOTE,
            sentence=cause_words.memory_grows(min(known), available, lasts),
            advice=cause_words.MEMORY_ADVICE,
            evidence={"growth_per_1000_bytes": min(known), "samples_left": lasts},
        )
    ]


def _alone(run: Run) -> list[Finding]:
    """Return what a script without a loader does, by line: first what keeps it from its model."""
    kinds = [where for where in Where if where not in hotspots.LOADING]
    places = hotspots.of(run.alone, *kinds)
    places.sort(key=lambda place: (place.where is Where.STEP or place.share < CAUSE_SHARE, -place.share))
    return [
        Finding(
            cause=Cause.NO_LOADER,
            severity=Severity.CAUSE if index == 0 else Severity.NOTE,
            share=place.share,
            sentence=cause_words.alone(place.share, place.shown, place.where.value),
            place=place.shown,
        )
        for index, place in enumerate(places[:6])
    ] or [Finding(cause=Cause.NO_LOADER, severity=Severity.CAUSE)]
