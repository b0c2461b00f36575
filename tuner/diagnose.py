"""Run -> findings: what costs time, how much, what to do, what that would give. Pure.

The most expensive finding that can be acted on is the cause; a loader's many symptoms (waiting, an empty queue, a
busy machine) make one finding, so that nothing is blamed twice. Wording is in :mod:`gputune.words`.
"""

from __future__ import annotations

from statistics import fmean

import msgspec

from gputune import cause_words, evidence, hotspots, ledger, loading, stats
from gputune.cause import Cause, Finding, Severity
from gputune.ledger import Line
from gputune.probes.burst import Burst, Stall, StallKind, Where
from gputune.record import Run, Status
from gputune.timeline import measured

CAUSE_SHARE = 0.05
"""A finding that costs less than this part of wall time is not why a run is slow."""
FINDING_SHARE = 0.01
"""Below this it is not worth a sentence."""
MAIN_CODE_SHARE = 0.08
"""The script's own code between loader and model: loops of any script have some, so a little is no finding."""
BUSY_GPU = 80.0
"""Percent of utilisation from which a line that holds the main thread up is only waiting for the GPU."""
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
    found = [*_waiting(run, base, book), *_events(run, base, book), *_main_code(run, book)]
    found.sort(key=lambda finding: -finding.share)
    if not found or found[0].share < CAUSE_SHARE:
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
    return [] if fine or share < FINDING_SHARE else [loading.finding(run, base, ceiling, share)]


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
        stalls = _stalls(run, kind)
        cause, detail = _detailed(cause, stalls, base)
        found.append(
            Finding(
                cause=cause,
                share=share,
                sentence=cause_words.finding(line.value, share, "; ".join(filter(None, (detail, note)))),
                advice=cause_words.finding_advice(cause.value, base.settings),
                gain=1 / (1 - share),
                evidence={"each_s": fmean(stall.duration_s for stall in stalls)} if stalls else {},
            )
        )
    return found


def _bursts(run: Run) -> list[Burst]:
    pairs = [burst for pair in (run.proof.pairs if run.proof else []) for burst in (pair.user, pair.candidate)]
    trials = [trial.burst for trial in run.trials]
    return [burst for burst in (run.baseline, run.ceiling, run.diagnosis, *trials, *pairs) if measured(burst)]


def _stalls(run: Run, kind: StallKind) -> list[Stall]:
    return [stall for burst in _bursts(run) for stall in burst.stalls if stall.kind is kind]


def _elsewhere(run: Run, kind: StallKind, step_s: float) -> tuple[float, str]:
    """Return the share of an event the baseline did not meet, from how often the other bursts met it."""
    stalls = _stalls(run, kind)
    batches = sum(len(burst.period_s) for burst in _bursts(run))
    if kind is StallKind.EPOCH or not stalls:
        return 0.0, ""
    each_s, every = fmean(stall.duration_s for stall in stalls), batches / len(stalls)
    cost_s = each_s / every
    return cost_s / (step_s + cost_s), cause_words.seen_elsewhere(each_s, every)


def _detailed(cause: Cause, stalls: list[Stall], base: Burst) -> tuple[Cause, str]:
    """Return the cause made more precise by what the events themselves say, and the words for it."""
    total_s = sum(stall.duration_s for stall in stalls)
    if cause is Cause.WORKER_START and (not base.settings.num_workers or base.settings.persistent_workers):
        return Cause.EPOCH_END, ""
    if cause is Cause.VALIDATION and total_s:
        waits = sum(stall.wait_s for stall in stalls) / total_s
        if waits >= WAITS_ITSELF:
            return Cause.VALIDATION_LOADER, cause_words.validation_waits(waits)
    if cause is Cause.LOGGING:
        return cause, ", ".join(sorted({stall.detail for stall in stalls if stall.detail}))
    return cause, ""


def _main_code(run: Run, book: ledger.Ledger) -> list[Finding]:
    """Return the finding on the script's own code beside the model, and logging that nobody else timed."""
    used = [burst.gpu.utilization for burst in (run.ceiling, run.baseline) if burst and burst.gpu.utilization]
    if used and used[0] >= BUSY_GPU:
        return []
    compute = book.entry(Line.COMPUTE).share
    found = []
    if places := hotspots.main_thread(run.diagnosis, Where.MAIN):
        share = compute * sum(place.share for place in places)
        if share >= MAIN_CODE_SHARE:
            found.append(_at_place(Cause.MAIN_CODE, share, places[0], cause_words.main_code(share, places[0].shown)))
    logs = hotspots.main_thread(run.diagnosis, Where.LOGGING)
    if logs and book.entry(Line.LOGGING).quality is ledger.Quality.MISSING and not _stalls(run, StallKind.LOGGING):
        share = compute * sum(place.share for place in logs)
        if share >= CAUSE_SHARE:
            found.append(_at_place(Cause.LOGGING, share, logs[0], cause_words.sampled_logging(share, logs[0].shown)))
    return found


def _at_place(cause: Cause, share: float, place: hotspots.Place, sentence: str) -> Finding:
    advice = cause_words.MAIN_CODE_ADVICE if cause is Cause.MAIN_CODE else cause_words.LOGGING_ADVICE
    gain = 1 / max(0.01, 1 - share)
    return Finding(cause=cause, share=share, sentence=sentence, advice=advice, gain=gain, place=place.shown)


def _alone(run: Run) -> list[Finding]:
    """Return what a script without a loader does, by line."""
    kinds = [where for where in Where if where not in hotspots.LOADING]
    places = hotspots.of(run.alone, *kinds)
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
