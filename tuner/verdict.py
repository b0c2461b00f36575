"""Run -> Verdict: why the GPU is idle, how much would be gained, what fixes it. Pure.

One finding is the cause; the others follow from the ledger. All wording is in :mod:`gputune.words`.
"""

from __future__ import annotations

from enum import Enum

import msgspec

from gputune import described, evidence, ledger, stats, words
from gputune.probes.burst import Burst
from gputune.probes.settings import Settings
from gputune.record import Outcome, Run, Status
from gputune.timeline import measured

CPU_BOUND_SHARE = 0.5
"""Above this share of CPU time in service time the workers compete for cores, below they mostly wait."""
TAIL_FACTOR = 2.5
"""95th percentile of service time over its mean from which in-order delivery starves a fast enough queue."""
ENOUGH_CAPACITY = 1.1
"""Workers that could make this multiple of the ceiling are not too few."""
FINDING_SHARE = 0.01
"""Ledger lines below this share of wall time are not worth a sentence."""


class Cause(Enum):
    """The one reason named first."""

    MAIN_THREAD = "main_thread"
    CPU = "cpu"
    STORAGE = "storage"
    SLOW_SAMPLES = "slow_samples"
    QUEUE = "queue"
    STEP = "step"
    UNKNOWN = "unknown"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One further line of the ledger worth a sentence."""

    line: ledger.Line
    share: float
    sentence: str
    advice: str = ""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a run says, in sentences and in the numbers behind them (``None``: unknown)."""

    headline: str
    cause: Cause = Cause.UNKNOWN
    cause_sentence: str = ""
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
    cause, sentence = _cause(run, base, ceiling)
    return Verdict(
        headline=_headline(run, base, ceiling),
        cause=cause,
        cause_sentence=sentence,
        need_sentence=_need(run, cause, workers, cores_needed),
        fix_sentence=_fix(run),
        caveats=_caveats(run),
        findings=_findings(run, base),
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


def subject(run: Run) -> str:
    """Return who waits: the GPU, or on a machine without one the training loop."""
    return "GPU" if run.environment and run.environment.device.startswith("cuda") else "The training loop"


def _without_baseline(run: Run) -> Verdict:
    if run.status is Status.NO_LOADER:
        return Verdict(headline=words.NO_LOADER, caveats=[words.NO_LOADER_ADVICE])
    if run.status is Status.SCRIPT_FAILED:
        return Verdict(headline=words.script_failed(run.script_output_tail))
    return Verdict(headline=words.NO_BASELINE, caveats=_caveats(run))


def _headline(run: Run, base: Burst, ceiling: float | None) -> str:
    now = stats.samples_per_s(base)
    if ceiling is None:
        return words.no_ceiling(now, stats.data_wait_share(base))
    if evidence.is_healthy(now, ceiling):
        return words.healthy(now, ceiling)
    return words.starved(subject(run), 1 - now / ceiling, now, ceiling)


def _cause(run: Run, base: Burst, ceiling: float | None) -> tuple[Cause, str]:
    now, wait_share = stats.samples_per_s(base), stats.data_wait_share(base)
    if ceiling and evidence.is_healthy(now, ceiling):
        return Cause.STEP, words.step_bound(subject(run), stats.busy_s(base), wait_share)
    if ceiling is None and wait_share < stats.HEADROOM_WORTH_TUNING:
        return Cause.STEP, words.step_bound(subject(run), stats.busy_s(base), wait_share)
    workers, service_s, share = base.settings.num_workers, stats.service_s(base), stats.cpu_share(base)
    if workers == 0:
        per_sample_s = (sum(base.wait_s) if service_s is None else service_s * len(base.wait_s)) / sum(base.samples)
        return Cause.MAIN_THREAD, words.main_thread(run.loader, per_sample_s, share)
    capacity = stats.capacity_samples_per_s(base)
    if service_s is None or capacity is None:
        return Cause.QUEUE, words.unexplained_wait(workers, None)
    if capacity < (ceiling or now) * ENOUGH_CAPACITY:
        kind = Cause.STORAGE if share is not None and share < CPU_BOUND_SHARE else Cause.CPU
        return kind, words.too_few_workers(workers, service_s, share, capacity, ceiling or now)
    factor = evidence.tail_factor(base)
    if factor >= TAIL_FACTOR:
        return Cause.SLOW_SAMPLES, words.slow_samples(factor, service_s)
    return Cause.QUEUE, words.unexplained_wait(workers, capacity)


def _need(run: Run, cause: Cause, workers: int | None, cores_needed: float | None) -> str:
    if workers is None or cores_needed is None or cause in (Cause.STEP, Cause.UNKNOWN):
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
    return caveats


def _findings(run: Run, base: Burst) -> list[Finding]:
    book = ledger.of_burst(base, run.loader)
    named = (ledger.Line.WAIT, ledger.Line.COMPUTE, ledger.Line.WARMUP)
    entries = [e for e in (book.entries if book else []) if e.line not in named and e.share >= FINDING_SHARE]
    return [
        Finding(
            line=entry.line,
            share=entry.share,
            sentence=words.finding(entry.line.value, entry.share, entry.note),
            advice=words.finding_advice(entry.line.value, base.settings),
        )
        for entry in sorted(entries, key=lambda entry: -entry.share)
    ]


def _next_commands(run: Run) -> list[str]:
    """Return the commands to type next, the likeliest first."""
    if run.recommendation is None:
        return [f"gputune report {run.id} --format html --open"]
    return [
        f"gputune export {run.id} --format patch",
        f"gputune run {' '.join(run.command)}",
        f"gputune report {run.id} --format html --open",
    ]
