"""The rows that console, markdown and HTML show: a Run in, plain text cells out."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from gputune import described, hotspots, ledger, pipeline_stages, proof, stats, words
from gputune.numbers import cores, known_size, percent, plain_rate, seconds, size
from gputune.probes.burst import Burst, Where
from gputune.probes.settings import SETTINGS, Settings
from gputune.probes.tensorflow.settings import PIPELINE_SETTINGS, shown
from gputune.record import Run, Trial
from gputune.timeline import measured

MARKS = {ledger.Quality.MEASURED: "", ledger.Quality.ESTIMATED: "~", ledger.Quality.MISSING: "-"}
"""Put beside numbers; never colour alone."""
MARKS_NOTE = "~ estimated   - not met or not measurable"
NONE = "-"
WORTH_A_LINE = 0.03
"""Places with less of the sampled time are not listed."""


class Change(msgspec.Struct, frozen=True):
    """One line of the before/after table."""

    name: str
    before: str
    after: str
    changed: bool


class Tried(msgspec.Struct, frozen=True):
    """One line of what was tried."""

    number: str
    settings: str
    predicted: str
    """What the search expected before it was measured, samples/s."""
    rate: str
    wait: str
    cost: str
    note: str


def after_burst(run: Run) -> Burst | None:
    """Return the burst that shows the proposed settings at work: the last one of the proof."""
    if run.proof and run.proof.pairs and measured(run.proof.pairs[-1].candidate):
        return run.proof.pairs[-1].candidate
    return None


def user_settings(run: Run) -> Settings | None:
    """Return what the user had."""
    if run.baseline:
        return run.baseline.settings
    return run.loader.settings if run.loader else None


def changes(run: Run) -> list[Change]:
    """Return the before/after table: settings first, then what they did."""
    before, after = run.baseline, after_burst(run)
    if before is None or after is None or run.proof is None:
        return []
    mine, theirs = before.settings, run.proof.candidate
    rows = _changed_settings(mine, theirs)
    rows += [_change(name, "default", str(value)) for name, value in theirs.knob_values.items()]
    both = [proof.user_and_candidate(pair) for pair in run.proof.pairs]
    rows.append(_change("samples/s (proof)", *(_mean_rate(rates) for rates in zip(*both, strict=True))))
    rows.append(_change("data wait", _wait(before), _wait(after)))
    rows.append(_change("CPU cores busy", _cores(before), _cores(after)))
    rows.append(_change("memory", known_size(before.host.rss_bytes), known_size(after.host.rss_bytes)))
    if before.gpu.utilization is not None or after.gpu.utilization is not None:
        rows.append(_change("GPU utilisation", _gpu(before), _gpu(after)))
    return rows


def _changed_settings(mine: Settings, theirs: Settings) -> list[Change]:
    if mine.pipeline is not None and theirs.pipeline is not None:
        before, after = mine.pipeline.values(), theirs.pipeline.values()
        return [
            _change(name, _value(before.get(name)), _value(after.get(name)))
            for name in PIPELINE_SETTINGS
            if name in before or name in after
        ]
    return [
        _change(name, _value(getattr(mine, name)), _value(getattr(theirs, name)))
        for name in SETTINGS
        if _worth_showing(name, getattr(mine, name), getattr(theirs, name))
    ]


def pipeline(run: Run) -> list[tuple[str, str, str, str]]:
    """Return what each transformation of a ``tf.data`` pipeline did in the baseline, and what AUTOTUNE chose there."""
    return [
        (
            used.name,
            used.place or NONE,
            percent(used.share),
            ", ".join(f"{name}={value}" for name, value in used.chosen.items()) or NONE,
        )
        for used in pipeline_stages.of(run.baseline, run.loader)
    ]


def _worth_showing(name: str, before: object, after: object) -> bool:
    return before != after or before not in (None, False, "off", True if name == "in_order" else None)


def _change(name: str, before: str, after: str) -> Change:
    return Change(name, before, after, before != after)


def _value(value: object) -> str:
    return NONE if value is None else shown(value)


def _mean_rate(rates: Sequence[float]) -> str:
    return plain_rate(sum(rates) / len(rates)) if rates else NONE


def _wait(burst: Burst) -> str:
    return percent(stats.data_wait_share(burst))


def _cores(burst: Burst) -> str:
    return NONE if burst.host.cpu_cores is None else cores(burst.host.cpu_cores)


def _gpu(burst: Burst) -> str:
    return NONE if burst.gpu.utilization is None else f"{burst.gpu.utilization:.0f} %"


def gain(run: Run) -> str:
    """Return the ratio of the proof with its interval, or nothing."""
    if run.proof is None:
        return ""
    return f"{run.proof.ratio:.2f}x, 95 % interval {run.proof.low:.2f}-{run.proof.high:.2f}"


def tried(run: Run) -> list[Tried]:
    """Return one row for the user's settings, the ceiling and each trial."""
    rows = []
    user = user_settings(run) or Settings()
    for name, burst in (("yours", run.baseline), ("ceiling", run.ceiling)):
        if measured(burst):
            settings = described.shown(burst.settings, user) if name == "yours" else "data is free"
            rows.append(Tried(name, settings, "", _rate(burst), _wait(burst), seconds(cost_s(burst)), ""))
    rows.extend(_tried(trial, user) for trial in run.trials)
    return rows


def _tried(trial: Trial, user: Settings) -> Tried:
    settings, number = described.shown(trial.settings, user), str(trial.number)
    expected = trial.predicted_samples_per_s
    predicted = NONE if expected is None else plain_rate(expected)
    if measured(trial.burst):
        note = f"{trial.why} (ended early: losing)" if trial.burst.abandoned else trial.why
        burst = trial.burst
        return Tried(number, settings, predicted, _rate(burst), _wait(burst), seconds(cost_s(burst)), note)
    reason = trial.infeasible.reason if trial.infeasible else "no batch was measured"
    cost = seconds(trial.infeasible.cost_s) if trial.infeasible else NONE
    return Tried(number, settings, predicted, NONE, NONE, cost, f"failed: {reason}")


def cost_s(burst: Burst) -> float:
    """Return what a burst cost the campaign: its swap and its wall time."""
    return burst.swap_s + burst.end_s - burst.start_s


def _rate(burst: Burst) -> str:
    estimate = stats.throughput(burst)
    mark = f" (! +-{percent(estimate.spread)})" if estimate.wide else ""
    return plain_rate(estimate.value) + mark


def by_line(run: Run, most: int = 5) -> list[tuple[str, list[hotspots.Place]]]:
    """Return the places of sampled stacks worth a line, under a title each; nothing where nothing was sampled."""
    if run.diagnosis is None:
        return []
    beside = [where for where in Where if where not in hotspots.LOADING]
    tables = [
        (words.LOADING_BY_LINE, hotspots.loading(run.diagnosis)),
        (words.MAIN_THREAD_BY_LINE, hotspots.main_thread(run.diagnosis, *beside)),
    ]
    shown = [(title, [p for p in places if p.share >= WORTH_A_LINE][:most]) for title, places in tables]
    return [(title, places) for title, places in shown if places]


def machine(run: Run) -> list[tuple[str, str]]:
    """Return the machine's limits, unknown ones named as such."""
    limits, environment = run.machine, run.environment
    cpus = "unknown" if limits.effective_cpus is None else cores(limits.effective_cpus)
    if limits.cpus and limits.effective_cpus and limits.effective_cpus < limits.cpus:
        cpus += f" of {limits.cpus} (affinity or cgroup quota)"
    files = "unknown" if limits.open_files_limit is None else str(limits.open_files_limit)
    rows = [
        ("effective CPUs", cpus),
        ("CPU", limits.cpu_model or "unknown"),
        (
            "memory",
            f"{known_size(limits.memory_available_bytes)} free of {known_size(limits.memory_bytes)}",
        ),
        ("/dev/shm free", known_size(limits.shm_free_bytes)),
        ("open files", files),
        ("GPU", limits.gpu or (environment.device_name if environment else "") or "none"),
    ]
    if limits.driver:
        rows.append(("driver", limits.driver))
    if environment:
        libraries = {"torch": environment.torch, "TensorFlow": environment.tensorflow, "Keras": environment.keras}
        used = [f"{name} {version}" for name, version in libraries.items() if version]
        rows.append(("software", ", ".join([f"Python {environment.python}", *used])))
    if run.baseline and run.baseline.batch_bytes:
        rows.append(("one batch", size(run.baseline.batch_bytes)))
    return rows
