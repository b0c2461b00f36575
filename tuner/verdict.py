"""Run -> Verdict: why the GPU is idle, how much would be gained, what fixes it. Pure.

One finding is the cause; the others follow from the ledger. All wording is in :mod:`gputune.words`.
"""

from __future__ import annotations

import math

import msgspec

from gputune import cause_words, described, diagnose, evidence, pipeline_cause, ranks, stats, words
from gputune.cause import Cause, Finding
from gputune.diagnose import subject
from gputune.probes.burst import Burst
from gputune.probes.settings import Settings
from gputune.record import Outcome, Run, Status
from gputune.timeline import measured

_LOADING = frozenset({
    Cause.MAIN_THREAD, Cause.CPU, Cause.CORES, Cause.STORAGE, Cause.BANDWIDTH, Cause.SLOW_SAMPLES, Cause.QUEUE,
    Cause.OVERSUBSCRIPTION, Cause.COLD_CACHE, Cause.COLLATE,
})  # fmt: skip
"""Causes inside the loader: their fix is the settings that are searched."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a run says, in sentences and in the numbers behind them (``None``: unknown)."""

    headline: str
    cause: Cause = Cause.UNKNOWN
    cause_sentence: str = ""
    cause_share: float = 0.0
    """What the cause costs: part of wall time."""
    place: str = ""
    """Where in the user's source the cause is, as far as sampled stacks tell."""
    need_sentence: str = ""
    fix_sentence: str = ""
    caveats: list[str] = []
    findings: list[Finding] = []
    next_commands: list[str] = []
    samples_per_s: float | None = None
    ceiling_samples_per_s: float | None = None
    starvation: float | None = None
    headroom: float | None = None
    wait_share: float | None = None
    service_s: float | None = None
    """Mean seconds one worker (or the main thread) needs for a batch."""
    cpu_share: float | None = None
    workers_needed: int | None = None
    cores_needed: float | None = None
    effective_cpus: float | None = None
    proved: bool = False


def of(run: Run) -> Verdict:
    """Return the verdict on a run; any run, also a broken-off one, has one."""
    if not measured(run.baseline):
        return _without_baseline(run)
    base, now = run.baseline, stats.samples_per_s(run.baseline)
    ceiling = stats.samples_per_s(run.ceiling) if measured(run.ceiling) else None
    workers, cores_needed = evidence.needs(base, ceiling)
    found = diagnose.of(run)
    first = found[0] if found else Finding(cause=Cause.UNKNOWN)
    return Verdict(
        headline=_headline(run, base, ceiling, first.cause),
        cause=first.cause,
        cause_sentence=_cause_sentence(first),
        cause_share=first.share,
        place=first.place,
        need_sentence=_need(run, first.cause, workers, cores_needed),
        fix_sentence=_fix(run),
        caveats=_caveats(run),
        findings=found[1:],
        next_commands=_next_commands(run),
        samples_per_s=now,
        ceiling_samples_per_s=ceiling,
        starvation=max(0.0, 1 - now / ceiling) if ceiling else None,
        headroom=ceiling / now if ceiling and now else None,
        wait_share=stats.data_wait_share(base),
        service_s=stats.service_s(base),
        cpu_share=stats.cpu_share(base),
        workers_needed=workers,
        cores_needed=cores_needed,
        effective_cpus=run.machine.effective_cpus,
        proved=run.recommendation is not None,
    )


def _without_baseline(run: Run) -> Verdict:
    if run.status is Status.NO_LOADER:
        found = diagnose.of(run)
        return Verdict(
            headline=words.NO_LOADER,
            cause=found[0].cause,
            cause_sentence=found[0].sentence,
            cause_share=found[0].share,
            place=found[0].place,
            findings=found[1:],
            caveats=[words.NO_LOADER_ADVICE],
        )
    if run.status is Status.SCRIPT_FAILED:
        return Verdict(headline=words.script_failed(run.script_output_tail))
    return Verdict(headline=words.NO_BASELINE, caveats=_caveats(run))


def _headline(run: Run, base: Burst, ceiling: float | None, cause: Cause) -> str:
    now = stats.samples_per_s(base)
    if ceiling is None:
        return words.no_ceiling(now, stats.data_wait_share(base))
    # A small gap that the noise of the burst explains is no cause, and so no headline either.
    by_chance = cause is Cause.STEP and ceiling <= now * (1 + diagnose.SURE_SHARE)
    if evidence.is_healthy(now, ceiling) or by_chance:
        return words.healthy(now, ceiling)
    spreads = [stats.throughput(burst).spread for burst in (base, run.ceiling) if burst]
    return words.starved(subject(run), 1 - now / ceiling, now, ceiling, math.hypot(*spreads))


def _cause_sentence(first: Finding) -> str:
    """Return the cause; where no setting is searched for it, with what to do and what that would give."""
    if first.cause in _LOADING or not first.advice:
        return first.sentence
    return cause_words.with_advice(first.sentence, first.advice, first.gain)


def _need(run: Run, cause: Cause, workers: int | None, cores_needed: float | None) -> str:
    if workers is None or cores_needed is None or cause not in _LOADING:
        return ""
    cpus = run.machine.effective_cpus
    if cpus and cores_needed > cpus:
        return words.machine_limit(cores_needed, cpus)
    return words.need(workers, cores_needed, cpus)


def _fix(run: Run) -> str:
    chosen, proof = run.recommendation, run.proof
    user = run.baseline.settings if run.baseline else Settings()
    if chosen:
        ratio = stats.Estimate(chosen.ratio, chosen.low, chosen.high)
        return words.proved(len(proof.pairs) if proof else 0, described.shown(chosen.settings, user), ratio)
    if proof:
        ratio = stats.Estimate(proof.ratio, proof.low, proof.high)
        return words.not_proved(len(proof.pairs), described.shown(proof.candidate, user), ratio, stats.MIN_EFFECT)
    best = evidence.best_trial(run)
    if best and run.status is not Status.COMPLETE:
        return words.unproved_best(described.shown(best[0], user), best[1])
    measured = sum(trial.burst is not None for trial in run.trials)
    if measured and run.outcome in (Outcome.NOTHING_TO_GAIN, Outcome.NOT_PROVED, Outcome.MACHINE_LIMIT):
        return words.nothing_better(measured)
    return ""


def _caveats(run: Run) -> list[str]:
    caveats = []
    if run.status in (Status.INTERRUPTED, Status.SCRIPT_ENDED, Status.SCRIPT_FAILED):
        caveats.append(words.ended_early(run.status.value, evidence.count_bursts(run)))
    if run.recommendation:
        if run.recommendation.reproducibility:
            caveats.append(f"Samples: {run.recommendation.reproducibility}.")
        caveats.extend(run.recommendation.notes)
    if run.outcome is not Outcome.NOTHING_TO_GAIN and (advice := pipeline_cause.cache_advice(run)):
        caveats.append(advice)
    return caveats + ranks.sentences(run) + _vetoes(run)


def _vetoes(run: Run) -> list[str]:
    """Name the settings that would have changed the samples, each reason once, with what to do about it."""
    reasons: dict[str, str] = {}
    for trial in run.trials:
        if trial.infeasible and trial.infeasible.reason.startswith("vetoed:"):
            reasons.setdefault(trial.infeasible.reason, f"num_workers={trial.settings.num_workers}")
    return [f"{setting} {reason}." for reason, setting in reasons.items()]


def _next_commands(run: Run) -> list[str]:
    """Return the commands to type next, the likeliest first."""
    if run.recommendation is None:
        return [f"gputune report {run.id} --format html --open"]
    form = "--format tfdata" if run.recommendation.settings.pipeline else "--format patch | git apply"
    return [
        f"gputune export {run.id} {form}",
        f"gputune run {' '.join(run.command)}",
        f"gputune report {run.id} --format html --open",
    ]
