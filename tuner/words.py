"""The sentences of verdicts, ledgers and comparisons, built from numbers; no decisions are taken here.

What findings say is in :mod:`gputune.cause_words`.
"""

from __future__ import annotations

from gputune.numbers import cores, percent, plain_rate, plural, rate, seconds, times
from gputune.stats import Estimate

LINE_NAMES = {
    "wait": "data wait",
    "copy": "copy to device",
    "checkpoint": "checkpoint",
    "validation": "validation",
    "logging": "logging",
    "epoch": "epoch end, worker start",
    "compute": "compute and the rest",
    "warmup": "warm-up (not counted)",
}
WARMUP_NOTE = "discarded: workers filling the pipeline, partial steps around epoch ends"
NO_LOADER = "No DataLoader was iterated, so there is no data wait to measure and nothing to tune."
NO_LOADER_ADVICE = "If the script loads data by other means, wrap it in a DataLoader or use a Python profiler."
LOADING_BY_LINE = "Where loading spends its time, by line (sampled)"
MAIN_THREAD_BY_LINE = "What the training thread does between batches, by line (sampled)"
NO_BASELINE = "Nothing was measured before the campaign ended, so nothing can be said."
CLEAN_REPRODUCIBILITY = "identical batches in identical order"


def starved(who: str, starvation: float, now: float, ceiling: float, spread: float = 0.0) -> str:
    """Return the headline of a starved run; ``spread`` is the relative half-width of the ratio's interval."""
    return (
        f"{who} waits for data {percent(starvation)} of the time. With free data this script would run "
        f"{times(ceiling / now, spread)} faster ({plain_rate(ceiling)} vs {rate(now)})."
    )


def healthy(now: float, ceiling: float) -> str:
    """Return the headline of a run whose loader keeps up."""
    gain = max(0.0, ceiling / now - 1)
    return (
        f"Your loader is fine: with free data this script would run at most {percent(gain)} faster "
        f"({plain_rate(ceiling)} vs {rate(now)})."
    )


def no_ceiling(now: float, wait_share: float) -> str:
    """Return the headline when the speed with free data is not known."""
    return (
        f"{rate(now)}, waiting for data {percent(wait_share)} of step time. The speed with free data was not "
        "measured, so the possible gain is not known."
    )


def script_failed(tail: str) -> str:
    """Return the headline when the script died before anything was measured."""
    last = tail.strip().splitlines()[-1].strip() if tail.strip() else "it wrote nothing"
    return f"The script failed before anything was measured: {last}"


def ended_early(status: str, bursts: int) -> str:
    """Return the caveat of a campaign that did not run to its end."""
    reason = {
        "interrupted": "Interrupted",
        "script_ended": "The script ended before the campaign did",
        "script_failed": "The script failed during the campaign",
    }[status]
    return f"{reason}: this is what {plural(bursts, 'burst')} had shown by then."


def need(workers: int, needed_cores: float, cpus: float | None) -> str:
    """Return what free data would take."""
    gives = f"; this machine gives {cores(cpus)} cores" if cpus else ""
    takes = f"{plural(workers, 'worker')} and {cores(needed_cores)} cores of loading"
    return f"Keeping up takes about {takes}{gives}."


def machine_limit(needed_cores: float, cpus: float) -> str:
    """Return the first-class verdict that settings cannot help."""
    return (
        f"Cannot be fixed by settings alone: needs {cores(needed_cores)} cores, this machine gives "
        f"{cores(cpus)}. Cache decoded samples, shrink them beforehand, or move the costly transform to the "
        "GPU."
    )


def proved(pairs: int, settings: str, ratio: Estimate) -> str:
    """Return the recommendation."""
    return (
        f"{settings}  ->  {times(ratio.value)} (95 % interval {ratio.low:.2f}-{ratio.high:.2f}, proved over "
        f"{plural(pairs, 'alternating pair')})"
    )


def knob_read_once(name: str) -> str:
    """Return why a knob's trials take long."""
    return f"knob {name} is read once at start-up: each of its trials starts the script again"


def not_proved(pairs: int, settings: str, ratio: Estimate, least: float) -> str:
    """Return why nothing is recommended."""
    return (
        f"Nothing recommended: {settings} gave {times(ratio.value)} (95 % interval {ratio.low:.2f}-"
        f"{ratio.high:.2f}) over {plural(pairs, 'alternating pair')}; not clearly above 1 by "
        f"{percent(least)}."
    )


def nothing_better(tried: int) -> str:
    """Return that the search found nothing."""
    return f"Nothing recommended: none of {plural(tried, 'trial')} beat your own settings."


def unproved_best(settings: str, factor: float) -> str:
    """Return the best so far of a campaign that ended before its proof."""
    return f"Best seen, not proved: {settings}  ->  about {times(factor)} in one burst."


def once_an_epoch(each_s: float, epoch: int) -> str:
    """Return the note of an event at the end of an epoch."""
    return f"{seconds(each_s)} once in {plural(epoch, 'batch')}"


def every_batches(each_s: float, gap: float) -> str:
    """Return the note of a repeated event."""
    return f"{seconds(each_s)} every {gap:.0f} batches"


def seen_once(each_s: float, batches: int) -> str:
    """Return the note of an event whose true frequency is not known."""
    return f"{seconds(each_s)} seen once in {plural(batches, 'batch')}; true frequency unknown"


def start_up_estimate(start_s: float, epoch: int) -> str:
    """Return the note of a start-up cost taken from the start of the burst."""
    return f"no epoch end met; start of workers took {seconds(start_s)}, once in {plural(epoch, 'batch')}"


def not_met(batches: int) -> str:
    """Return the note of an event that did not happen."""
    return f"none met in {plural(batches, 'batch')}"


def compared(ratio: Estimate, verdict: str) -> str:
    """Return the headline of a comparison."""
    span = f"({times(ratio.value)}, 95 % interval {ratio.low:.2f}-{ratio.high:.2f})"
    return {
        "faster": f"B is faster than A {span}.",
        "slower": f"B is slower than A {span}.",
        "same": f"No measurable change {span}.",
        "unclear": f"Unclear: the measurements are too noisy to tell {span}.",
    }[verdict]


def moved(line: str, before_s: float, after_s: float) -> str:
    """Return which ledger line moved most."""
    way = "less" if after_s < before_s else "more"
    return (
        f"{LINE_NAMES[line]} moved most: {seconds(before_s)} -> {seconds(after_s)} a step "
        f"({seconds(abs(after_s - before_s))} {way})"
    )


def other_machine(differences: list[str]) -> str:
    """Return the caveat of a comparison across machines."""
    return f"The two runs differ in more than the script: {'; '.join(differences)}."
