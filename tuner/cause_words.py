"""What findings say: why the loop waits, what else costs time, and what to do about it.

Advice is phrased with its context and never names what the user already does: callers pass what is in use.
"""

from __future__ import annotations

from gputune.described import place
from gputune.numbers import approximate, percent, plain_rate, plural, rate, seconds, size, times
from gputune.probes.protocol import LoaderSite
from gputune.probes.settings import Settings
from gputune.words import LINE_NAMES


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


def slow_collate(workers: int, service_s: float, share: float, capacity: float, ceiling: float) -> str:
    """Return the cause when collation makes batches slow."""
    each = "The worker needs" if workers == 1 else f"Each of the {workers} workers needs"
    return (
        f"{each} {seconds(service_s)} a batch, {percent(share)} of it to put samples together (collate_fn): "
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


def cold_cache(misses: float, data_set_bytes: float, memory_bytes: float) -> str:
    """Return why the first pass over a data set is slow."""
    return (
        f"{percent(misses)} of what it reads comes off the disk, not out of memory; the data set (about "
        f"{size(data_set_bytes)}) fits into memory ({size(memory_bytes)} free), so later passes find it there."
    )


def step_bound(who: str, busy_s: float, wait_share: float) -> str:
    """Return why a healthy run is not faster."""
    return (
        f"The step itself takes {seconds(busy_s)}; {percent(wait_share)} of step time is data wait. "
        f"To go faster, make the step cheaper for the {'GPU' if who == 'GPU' else 'CPU'}."
    )


def finding(name: str, share: float, note: str) -> str:
    """Return one further finding; ``name`` is a line of the ledger or what part of it waits."""
    detail = f" ({note})" if note else ""
    return f"{LINE_NAMES.get(name, name)}: {percent(share)} of wall time{detail}"


def costliest(place: str, share: float) -> str:
    """Return which part of loading costs most."""
    return f"The costliest part is {place}: {percent(share)} of loading."


def main_code(share: float, place: str) -> str:
    """Return the finding on the script's own code on the training thread."""
    return f"code on the training thread between loader and model: ~{percent(share)} of wall time, most in {place}"


def python_overhead(share: float, place: str) -> str:
    """Return the finding on code between steps that no single place explains."""
    return f"Python between steps: ~{percent(share)} of wall time, spread over many lines (most: {place})"


def sampled_logging(share: float, place: str) -> str:
    """Return the finding on a logger that is only known from sampled stacks."""
    return f"logging: ~{percent(share)} of wall time, called at {place}"


def sync_point(file: str, line: int, call: str, per_step_s: float) -> str:
    """Return one line that waits for the device."""
    place = f"{'/'.join(file.split('/')[-2:])}:{line}"
    return f"{place} ({call}, {seconds(per_step_s)} a step)" if call else f"{place} ({seconds(per_step_s)} a step)"


def syncs(share: float, places: list[str]) -> str:
    """Return the finding on lines that make the host wait for the device."""
    return f"the host waits for the device up to {percent(share)} of wall time at {', '.join(places)}"


def memory_grows(per_1000_bytes: float, available_bytes: float, samples: float) -> str:
    """Return the finding on memory that will run out."""
    return (
        f"memory grows by {size(per_1000_bytes)} per 1,000 samples; at this rate the {size(available_bytes)} that are "
        f"free are full after about {approximate(samples)} samples"
    )


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
    """Return which part of a validation waits."""
    return f"{percent(share)} of each validation"


MAIN_CODE_ADVICE = "move it into the dataset, where workers do it while the model computes, or onto the GPU"
PYTHON_ADVICE = "do less in every step: fewer callbacks and metrics, larger batches"
VALIDATION_WAITS = "validation, waiting for its own loader"
MEMORY_ADVICE = (
    "lists of Python objects in a dataset are copied into each worker as they are touched: keep them in numpy or arrow "
    "arrays; fewer workers; or look for what is kept by mistake"
)
SYNC_ADVICE = "keep values on the device and read them every N steps (loss.detach(), then .item() when it is printed)"
LOGGING_ADVICE = "log every N steps, write from a background thread (gputune async logging)"


def loading_advice(cause: str, settings: Settings) -> str:
    """Return what to do about a loader beyond more workers."""
    return {
        "oversubscription": "set OMP_NUM_THREADS=1 (or cv2.setNumThreads(0)) in the workers: their library threads "
        "compete for the cores",
        "cores": "cache decoded samples, shrink them beforehand, or move the costly transform to the GPU",
        "bandwidth": "more workers cannot help: read less (smaller or compressed files) or from faster storage",
        "storage": "more requests at a time: more workers, or threads within each",
        "collate": "stack tensors of equal shape in one call, without Python loops over elements, or pad less",
        "cold_cache": "read the files once before training starts, or judge by the second epoch; more workers hide it",
        "queue": "hand over fewer, larger objects: larger batches, tensors instead of Python objects",
        "slow_samples": "a deeper queue"
        if not settings.in_order
        else "in_order=False (other order), or a deeper queue",
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
