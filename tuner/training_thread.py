"""What the training thread does besides the model: the script's own code, logging, waits for the device. Pure."""

from __future__ import annotations

from gputune import cause_words, evidence, hotspots, ledger, stats
from gputune.cause import Cause, Finding
from gputune.ledger import Line, Quality
from gputune.probes.burst import Burst, StallKind, SyncPoint, Where
from gputune.record import Run

MAIN_CODE_SHARE = 0.08
"""The script's own code between loader and model: loops of any script have some, so a little is no finding."""
ONE_PLACE = 0.25
"""A function that takes less than this part of that code does not explain it."""
LOGGING_SHARE = 0.05
"""Logging known from sampled stacks alone: below this it may be chance."""
SYNC_SHARE = 0.01
BUSY_GPU = 80.0
"""Percent of utilisation from which a line that holds the main thread up is only waiting for the GPU."""


def findings(run: Run, base: Burst, book: ledger.Ledger) -> list[Finding]:
    """Return what the training thread does that no other line of the ledger explains.

    Args:
        run: the campaign.
        base: its baseline.
        book: the ledger of the baseline.
    """
    used = [burst.gpu.utilization for burst in (run.ceiling, base) if burst and burst.gpu.utilization]
    if used and used[0] >= BUSY_GPU:
        return []
    return [*_main_code(run, book), *_logging(run, book), *_syncs(run, base, book)]


def _main_code(run: Run, book: ledger.Ledger) -> list[Finding]:
    places = hotspots.main_thread(run.diagnosis, Where.MAIN)
    share = book.entry(Line.COMPUTE).share * sum(place.share for place in places)
    if share < MAIN_CODE_SHARE:
        return []
    if places[0].share < ONE_PLACE * sum(place.share for place in places):
        sentence = cause_words.python_overhead(share, places[0].shown)
        return [_finding(Cause.PYTHON, share, places[0].shown, sentence, cause_words.PYTHON_ADVICE)]
    sentence = cause_words.main_code(share, places[0].shown)
    return [_finding(Cause.MAIN_CODE, share, places[0].shown, sentence, cause_words.MAIN_CODE_ADVICE)]


def _logging(run: Run, book: ledger.Ledger) -> list[Finding]:
    """Return logging that nobody timed call by call."""
    places = hotspots.main_thread(run.diagnosis, Where.LOGGING)
    share = book.entry(Line.COMPUTE).share * sum(place.share for place in places)
    timed = book.entry(Line.LOGGING).quality is not Quality.MISSING or evidence.stalls(run, StallKind.LOGGING)
    if timed or share < LOGGING_SHARE:
        return []
    sentence = cause_words.sampled_logging(share, places[0].shown)
    return [_finding(Cause.LOGGING, share, places[0].shown, sentence, cause_words.LOGGING_ADVICE)]


def _syncs(run: Run, base: Burst, book: ledger.Ledger) -> list[Finding]:
    """Return the lines that make the host wait for the device; they cost at most what the device idles for."""
    points = run.diagnosis.syncs if run.diagnosis else []
    idle = 1.0 if base.gpu.utilization is None else 1 - base.gpu.utilization / 100 - stats.data_wait_share(base)
    share = min(sum(point.share for point in points), book.entry(Line.COMPUTE).share, max(0.0, idle))
    if share < SYNC_SHARE:
        return []
    assert run.diagnosis is not None
    worst = [_shown(point, run.diagnosis) for point in points[:3] if point.share >= SYNC_SHARE]
    if not worst:
        return []
    sentence = cause_words.syncs(share, worst)
    return [_finding(Cause.SYNC, share, worst[0], sentence, cause_words.SYNC_ADVICE)]


def _shown(point: SyncPoint, diagnosis: Burst) -> str:
    step_s = sum(diagnosis.period_s) / max(1, len(diagnosis.period_s))
    return cause_words.sync_point(point.file, point.line, point.call, point.share * step_s)


def _finding(cause: Cause, share: float, place: str, sentence: str, advice: str) -> Finding:
    gain = 1 / max(0.01, 1 - share)
    return Finding(cause=cause, share=share, sentence=sentence, advice=advice, gain=gain, place=place)
