"""Every sentence a user reads, built from numbers; no decisions are taken here.

Advice is phrased with its context and never names what the user already does: callers pass what is in use.
"""

from __future__ import annotations

from gputune.described import place
from gputune.numbers import cores, percent, plain_rate, plural, rate, seconds, times
from gputune.probes.protocol import LoaderSite
from gputune.probes.settings import Settings
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


def starved(who: str, starvation: float, now: float, ceiling: float) -> str:
    """Return the headline of a starved run."""
    return (
        f"{who} waits for data {percent(starvation)} of the time. With free data this script would run "
        f"{times(ceiling / now)} faster ({plain_rate(ceiling)} vs {rate(now)})."
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


def cpu_or_waiting(cpu_share: float | None, waiting_for: str = "storage or the network") -> str:
    """Return what service time is made of."""
    if cpu_share is None:
        return "CPU share unknown"
    if cpu_share < 0.5:
        return f"{percent(1 - cpu_share)} of it waiting for {waiting_for}"
    return f"{percent(cpu_share)} of it CPU work"


def main_thread(site: LoaderSite | None, per_sample_s: float, cpu_share: float | None) -> str:
    """Return the cause when the training thread loads."""
    what = site.dataset_class if site and site.dataset_class else "the dataset"
    return (
        f"{seconds(per_sample_s)} per sample in {what} ({cpu_or_waiting(cpu_share)}) runs on the training "
        f"thread: num_workers=0 at {place(site)}."
    )


def too_few_workers(workers: int, service_s: float, of_which: str, capacity: float, ceiling: float) -> str:
    """Return the cause when the workers together are too slow."""
    each = "The worker needs" if workers == 1 else f"Each of the {workers} workers needs"
    return (
        f"{each} {seconds(service_s)} a batch ({of_which}): "
        f"together {rate(capacity)} of the {plain_rate(ceiling)} the loop could take."
    )


def slow_samples(factor: float, service_s: float) -> str:
    """Return the cause when a few slow batches hold up a queue that is fast enough on average."""
    return (
        f"Slow batches hold up the queue: 1 in 20 takes {times(factor)} the mean of {seconds(service_s)}, "
        "and batches are handed out in order."
    )


def unexplained_wait(workers: int, capacity: float | None) -> str:
    """Return the cause when waiting is measured but no reason is."""
    if capacity is None:
        return f"The loader's {plural(workers, 'worker')} could not be timed, so the reason is not known."
    return (
        f"The {plural(workers, 'worker')} could make {rate(capacity)}, yet the loop waits: time goes into "
        "handing batches over (queue, unpickling, memory), not into making them."
    )


def step_bound(who: str, busy_s: float, wait_share: float) -> str:
    """Return why a healthy run is not faster."""
    return (
        f"The step itself takes {seconds(busy_s)}; {percent(wait_share)} of step time is data wait. "
        f"To go faster, make the step cheaper for the {'GPU' if who == 'GPU' else 'CPU'}."
    )


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


def finding(line: str, share: float, note: str) -> str:
    """Return one further finding."""
    detail = f" ({note})" if note else ""
    return f"{LINE_NAMES[line]}: {percent(share)} of wall time{detail}"


def costliest(place: str, share: float) -> str:
    """Return which part of loading costs most."""
    return f"The costliest part is {place}: {percent(share)} of loading."


def main_code(share: float, place: str) -> str:
    """Return the finding on the script's own code on the training thread."""
    return f"code on the training thread between loader and model: ~{percent(share)} of wall time, most in {place}"


def sampled_logging(share: float, place: str) -> str:
    """Return the finding on a logger that is only known from sampled stacks."""
    return f"logging: ~{percent(share)} of wall time, called at {place}"


def alone(share: float, place: str, where: str) -> str:
    """Return one line of what a script without a loader does."""
    kind = {"step": "model, autograd or optimiser", "main": "code of the script's own"}.get(where, where)
    return f"{percent(share)} of the main thread's time: {place}, {kind}"


def with_advice(sentence: str, advice: str, gain: float | None) -> str:
    """Return a cause with what to do about it."""
    gives = f" Without it at most {times(gain)}." if gain else ""
    return f"{sentence[0].upper()}{sentence[1:]}. Advice: {advice}.{gives}"


def seen_elsewhere(each_s: float, every: float) -> str:
    """Return the note of an event that only other bursts met."""
    return f"{seconds(each_s)}, met once in about {every:.0f} batches of all bursts"


def validation_waits(share: float) -> str:
    """Return why a validation is slow."""
    return f"{percent(share)} of it waiting for its own loader"


MAIN_CODE_ADVICE = "move it into the dataset, where workers do it while the model computes, or onto the GPU"
LOGGING_ADVICE = "log every N steps, write from a background thread (gputune async logging)"


def loading_advice(cause: str, settings: Settings) -> str:
    """Return what to do about a loader beyond more workers."""
    return {
        "oversubscription": "set OMP_NUM_THREADS=1 (or cv2.setNumThreads(0)) in the workers: their library threads "
        "compete for the cores",
        "cores": "cache decoded samples, shrink them beforehand, or move the costly transform to the GPU",
        "bandwidth": "more workers cannot help: read less (smaller or compressed files) or from faster storage",
        "storage": "more requests at a time: more workers, or threads within each",
        "queue": "hand over fewer, larger objects: larger batches, tensors instead of Python objects",
        "slow_samples": "in_order=False (changes the order), or a deeper queue",
    }.get(cause, "")


def finding_advice(line: str, settings: Settings) -> str:
    """Return what to do about an event's cause, or nothing when the user does it already."""
    if line == "copy":
        return "" if settings.pin_memory else "pin_memory=True with non_blocking copies"
    if line == "worker_start":
        return "persistent_workers=True (other shuffle order from epoch 2)"
    return {
        "checkpoint": "save less often, or write in the background",
        "validation_loader": "give the validation loader workers of its own",
        "validation": "validate less often or on fewer samples",
        "logging": LOGGING_ADVICE,
    }.get(line, "")


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
