"""What the search is told: the measurements so far, the space they leave, the machine's limits. Pure."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from gputune import baseline, machine, offloading, reading, space, stats
from gputune.options import Options
from gputune.pipeline_search import PipelineContext
from gputune.probes.protocol import LoaderSite
from gputune.record import Run
from gputune.search import SearchContext
from gputune.study import STUDY_NAME, Store

FORK_S = 0.03
"""What starting forked workers is taken to cost before any was started; the trial then measures it."""


def context(
    run: Run, options: Options, *, deadline_s: float, folder: Path | None, tune_loader: bool = True
) -> SearchContext:
    """Return the context of a search.

    Args:
        run: a record with its baseline and, as a rule, its ceiling.
        options: what the user asked for.
        deadline_s: on the clock of the bench.
        folder: where the study goes; ``None`` keeps it in memory.
        tune_loader: False where the loader keeps up and only checkpoints or log calls are worth moving.
    """
    assert run.baseline is not None
    loader = _loader(run)
    return SearchContext(
        user=loader.settings,
        baseline=run.baseline,
        ceiling=run.ceiling,
        space=searched(run, options),
        effective_cpus=cpus(run),
        worker_bytes=worker_bytes(run),
        deadline_s=deadline_s,
        seed=options.seed,
        store=store(run, options, folder),
        known=[trial for trial in run.trials if not trial.settings.knobs],
        prefer=options.prefer,
        max_trials=options.max_trials,
        epoch_start_s=_epoch_start_s(run),
        epoch_s=_epoch_s(run),
        site=loader,
        tune_loader=tune_loader,
    )


def pipeline_context(run: Run, options: Options, *, deadline_s: float) -> PipelineContext:
    """Return the context of a search over a ``tf.data`` pipeline or the workers of a ``PyDataset``."""
    assert run.baseline is not None
    return PipelineContext(
        user=_loader(run).settings,
        baseline=run.baseline,
        ceiling=run.ceiling,
        effective_cpus=cpus(run),
        deadline_s=deadline_s,
        restrict=options.restrict,
        allow=options.allow,
        known=[trial for trial in run.trials if not trial.settings.knobs],
        max_trials=options.max_trials,
    )


def store(run: Run, options: Options, folder: Path | None) -> Store:
    """Return where the study of a run is kept: in its folder, or where machines of its kind share one."""
    if not options.storage:
        return Store(folder=folder)
    # What may differ between machines of a cluster (paths, free memory) is no part of the name.
    same = [Path(run.command[0]).name, run.command[1:], sorted(run.sources.values())]
    asked = [options.restrict, options.allow, options.prefer, _loader(run).settings]
    fingerprint = msgspec.json.encode(baseline.fingerprint(run))
    return Store(
        url=options.storage,
        name=f"{STUDY_NAME}-{_digest(msgspec.json.encode([same, asked]) + fingerprint)}",
        hardware=_digest(fingerprint),
    )


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def searched(run: Run, options: Options) -> space.Space:
    """Return the space of a run's search."""
    assert run.baseline is not None
    return space.build(
        _loader(run).settings,
        machine.share(run.machine, _ranks(run)),
        gates=run.gates,
        restrict=options.restrict,
        allow=options.allow,
        evident=offloading.evident_in(run),
        accelerator=run.environment is not None and run.environment.accelerator,
        worker_bytes=worker_bytes(run),
        batch_bytes=run.baseline.batch_bytes,
        cpu_bound=reading.cpu_bound(run.baseline, cpus(run)),
    )


def worker_bytes(run: Run) -> int:
    """Return what one more worker may take: a forked worker shares pages at first and un-shares them in time."""
    rss = run.baseline.host.rss_bytes if run.baseline else None
    return rss // _ranks(run) // (1 + _loader(run).settings.num_workers) // 2 if rss else 0


def cpus(run: Run) -> float:
    """Return the cores this machine really gives; of several ranks those of one: the others have as many workers."""
    mine = machine.share(run.machine, _ranks(run))
    return mine.effective_cpus or float(mine.cpus or 1)


def _ranks(run: Run) -> int:
    return run.environment.ranks if run.environment else 1


def _loader(run: Run) -> LoaderSite:
    assert run.loader is not None
    return run.loader


def _epoch_start_s(run: Run) -> float:
    assert run.baseline is not None
    if _loader(run).settings.num_workers:
        return stats.epoch_start_s(run.baseline)
    return FORK_S + (stats.service_s(run.baseline) or 0.0)


def _epoch_s(run: Run) -> float | None:
    batches, baseline = _loader(run).batches_per_epoch, run.baseline
    if not batches or baseline is None or not baseline.period_s:
        return None
    return batches * sum(baseline.period_s) / len(baseline.period_s)
