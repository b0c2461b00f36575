"""Why a loop over a ``tf.data`` pipeline or a Keras ``PyDataset`` waits. Pure functions of a stored run."""

from __future__ import annotations

from gputune import pipeline_stages, stats
from gputune.cause import Cause
from gputune.described import place
from gputune.numbers import percent, plain_rate, rate, seconds, size
from gputune.probes.burst import Burst
from gputune.probes.protocol import LoaderSite
from gputune.probes.tensorflow.settings import SEQUENTIAL, PipelineSettings, shown
from gputune.record import Run

SATURATED = 0.85
"""Part of the effective cores in use from which they count as all busy."""
_ADVICE = {
    Cause.CORES: "cache() decoded elements if they fit into memory, shrink them beforehand, or move the work into the "
    "model, where the GPU does it",
    Cause.STORAGE: "more elements at a time, or larger files (TFRecord) read one after the other",
}


def cause(run: Run, base: Burst, ceiling: float) -> tuple[Cause, str]:
    """Return the cause and its sentence.

    Args:
        run: the campaign.
        base: its baseline, of a pipeline.
        ceiling: samples per second with free data.
    """
    settings = base.settings.pipeline
    assert settings is not None
    found = pipeline_stages.costliest(base, run.loader)
    where = f" Most of it is {found.place} ({percent(found.share)} of the pipeline)." if found and found.place else ""
    if _one_at_a_time(settings):
        per_sample_s = sum(base.wait_s) / max(1, sum(base.samples))
        return Cause.MAIN_THREAD, f"{_sequential(run.loader, settings, per_sample_s)}{where}"
    now = stats.samples_per_s(base)
    kind = Cause.CORES if _cores_busy(run, base) else Cause.STORAGE
    why = "the cores are all busy" if kind is Cause.CORES else "cores are idle, so its calls wait for something else"
    return kind, (
        f"The pipeline at {place(run.loader)} makes {rate(now)} of the {plain_rate(ceiling)} the loop could take "
        f"({settings}); {why}.{where}"
    )


def advice(kind: Cause) -> str:
    """Return what to do beyond the settings that are searched."""
    return _ADVICE.get(kind, "")


def cache_advice(run: Run) -> str:
    """Return what keeping every element in memory would take, where the pipeline's length is known."""
    base, site = run.baseline, run.loader
    if base is None or site is None or base.settings.pipeline is None or not site.batches_per_epoch:
        return ""
    if not base.batch_bytes or any(stage.operation in ("cache", "PyDataset") for stage in site.stages):
        return ""
    need_bytes = base.batch_bytes * site.batches_per_epoch
    free = run.machine.memory_available_bytes
    fits = "" if free is None else f"; {size(free)} are free" + ("" if need_bytes < free / 2 else ", too few")
    return (
        f"cache() after the costly map would make every pass but the first cheap, at about {size(need_bytes)} of "
        f"memory (estimated from one batch){fits}. Not where the map draws random augmentations."
    )


def _one_at_a_time(settings: PipelineSettings) -> bool:
    if settings.workers is not None:
        return settings.workers == 1
    return settings.map_parallelism in (None, SEQUENTIAL) and settings.interleave_parallelism in (None, SEQUENTIAL)


def _sequential(site: LoaderSite | None, settings: PipelineSettings, per_sample_s: float) -> str:
    if settings.workers is not None:
        name = site.dataset_class if site else "the PyDataset"
        return f"{seconds(per_sample_s)} per sample in {name}, one batch at a time: workers=1 at {place(site)}."
    ahead = f"only prefetch({shown(settings.prefetch)}) overlaps" if settings.prefetch else "nothing is prefetched"
    return (
        f"{seconds(per_sample_s)} per sample in the pipeline at {place(site)}, one element at a time: no "
        f"num_parallel_calls, and {ahead}."
    )


def _cores_busy(run: Run, base: Burst) -> bool:
    cpus, own, other = run.machine.effective_cpus, base.host.cpu_cores, base.host.other_cpu_cores
    return cpus is not None and own is not None and own + (other or 0.0) >= SATURATED * cpus
