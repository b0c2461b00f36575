"""The frozen record of one measured stretch of the target.

A burst holds raw measurements only; everything derived from them lives in pure functions (``gputune.stats``).
All times are seconds of ``CLOCK_MONOTONIC``, which is one clock for all processes of a machine.
"""

from __future__ import annotations

from enum import Enum

import msgspec

from gputune.probes.series import Series
from gputune.probes.settings import Settings
from gputune.probes.tensorflow.settings import StageUse


class Purpose(Enum):
    """Why a burst was run."""

    BASELINE = "baseline"
    CEILING = "ceiling"
    TRIAL = "trial"
    PROOF = "proof"
    DIAGNOSIS = "diagnosis"
    """Stacks are sampled meanwhile, so its speed is not compared with that of other bursts."""


class StallKind(Enum):
    """What the main thread did, outside its ordinary steps, while the training loop stood still."""

    EPOCH = "epoch"
    """From the end of one pass over the training loader to the first batch of the next."""
    VALIDATION = "validation"
    """Another loader was iterated between two training batches."""
    CHECKPOINT = "checkpoint"
    """``torch.save`` ran."""
    LOGGING = "logging"
    """A known logger's call (TensorBoard's SummaryWriter) ran."""
    COPY = "copy"
    """Tensors were moved from host to device by a call of the main thread."""


class Sameness(Enum):
    """How it is known that a burst's settings bring the samples of the user's own; see ``agent.samples``."""

    UNKNOWN = "unknown"
    INDICES = "indices"
    """Every batch of indices of the sampler was handed over exactly once."""
    CONTENT = "content"
    """And the same indices, fetched again under these settings, brought the same values."""


class Stall(msgspec.Struct, frozen=True):
    """One timed event on the main thread."""

    kind: StallKind
    start_s: float
    duration_s: float
    batch: int
    """How many training batches the target had consumed when it began (counted over the whole run)."""
    detail: str = ""
    """Which library logged."""
    wait_s: float = 0.0
    """Of a validation: how long it was blocked in its own loader's ``next()``."""


class WorkerBatch(msgspec.Struct, frozen=True, array_like=True):
    """How one batch was made, as stamped inside the worker (or on the main thread when num_workers is 0)."""

    worker: int
    start_s: float
    """When fetching began."""
    fetch_s: float
    """Wall time of reading and transforming the samples, collation not included."""
    collate_s: float
    cpu_s: float
    """CPU time of fetch and collation on the fetching thread."""
    idle_s: float
    """How long the worker had waited for work before this batch."""
    process_cpu_s: float = 0.0
    """CPU time of all threads of the process meanwhile (0: not stamped)."""


class Where(Enum):
    """The kind of stretch a sampled stack was in."""

    FETCH = "fetch"
    """Reading and transforming samples, wherever that runs."""
    COLLATE = "collate"
    STEP = "step"
    """On the main thread, inside a module, autograd or an optimiser."""
    LOGGING = "logging"
    CHECKPOINT = "checkpoint"
    MAIN = "main"
    """On the main thread, outside of all these and outside the loader's ``next()``."""


class Hotspot(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the user's code where sampled time went."""

    where: Where
    file: str
    line: int
    function: str
    via: str = ""
    """The library callable the line was in: of a Compose the transform."""
    caller: str = ""
    """The user's function that called this one, ``Sharpen.__call__ at data.py:63``."""
    seconds_share: float
    """Part of all sampled time of loading (fetch, collate) or of the main thread outside ``next()`` (the others)."""
    seconds: float = 0.0


class SyncPoint(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the user's code at which the host waited for the accelerator during a diagnostic burst."""

    file: str
    line: int
    function: str
    call: str = ""
    """The tensor method that waited (``item``); empty where only the framework's warning is known."""
    count: int
    seconds: float = 0.0
    """Host time inside those calls, all together (0: not timed)."""
    share: float = 0.0
    """The same as part of the time watched."""


class HostUse(msgspec.Struct, frozen=True, kw_only=True):
    """What the machine did during a burst; ``None`` where it could not be read."""

    cpu_cores: float | None = None
    """Cores kept busy by the target and its descendants."""
    other_cpu_cores: float | None = None
    """Cores kept busy by everything else on the machine."""
    queued_share: float | None = None
    """Part of the stretch in which the training thread stood ready to run and had no CPU."""
    worker_queued_share: float | None = None
    """The same of the main threads of the processes it started: their mean."""
    rss_bytes: int | None = None
    """Largest resident memory of the target's process tree; pages shared between processes count in each."""
    memory_growth_bytes: int | None = None
    """By how much the tree's memory grew, each shared page counted once: copy-on-write, caches, leaks."""
    read_bytes: int | None = None
    """Bytes the tree read from storage."""
    asked_bytes: int | None = None
    """Bytes the tree asked for in reading calls; what storage did not bring came out of the page cache."""
    throttled_s: float | None = None
    """CPU time denied by the control group's quota, summed over CPUs."""


class GpuUse(msgspec.Struct, frozen=True, kw_only=True):
    """What the GPU did during a burst; ``None`` where it could not be read. Utilisation is in percent."""

    utilization: float | None = None
    """Mean share of time in which at least one kernel ran (NVML); corroboration, not the verdict."""
    sm_utilization: float | None = None
    """Mean share of SMs with work (GPM, Hopper and newer)."""
    memory_used_bytes: int | None = None
    power_w: float | None = None
    sm_clock_mhz: float | None = None
    throttle_reasons: tuple[str, ...] = ()
    energy_j: float | None = None
    pcie_received_bytes: int | None = None
    """Over the bus to the card."""
    pcie_sent_bytes: int | None = None


class RankUse(msgspec.Struct, frozen=True, kw_only=True):
    """What one rank of a job measured: means over the burst's batches."""

    rank: int
    samples_per_batch: float
    wait_s: float
    """Blocked in its own loader's ``next()``, a batch."""
    period_s: float


class Burst(msgspec.Struct, frozen=True, kw_only=True):
    """One measured stretch under one set of settings.

    ``period_s[k]`` is the time from the return of ``next()`` for batch k-1 to its return for batch k, so it holds
    the step on batch k-1 and the wait for batch k; ``wait_s[k]`` is the part of it blocked in ``next()``. Batches
    whose period holds an epoch end or a validation are in ``stalls`` instead and not in the arrays.
    """

    settings: Settings
    purpose: Purpose
    start_s: float
    end_s: float
    swap_s: float = 0.0
    """Tear-down plus start-up of the hot swap before the burst."""
    first_batch_s: float = 0.0
    """From the swap to the first batch: worker start-up plus one service time."""
    warmup_batches: int = 0
    period_s: list[float] = []
    wait_s: list[float] = []
    samples: list[int] = []
    """Samples in each measured batch."""
    ready: list[int] = []
    """Batches that lay ready in the queue before each wait (-1: unknown)."""
    workers: list[WorkerBatch] = []
    stalls: list[Stall] = []
    batches_total: int = 0
    """Training batches consumed since the start of the target, at the end of this burst."""
    steps: int = 0
    """Optimiser steps seen during the measured batches."""
    batches_per_epoch: int = 0
    """Length of one pass over the loader, at which the cost of starting one recurs (0: unknown or endless)."""
    batch_bytes: int = 0
    """Bytes of tensors in one batch (0: unknown)."""
    hotspots: list[Hotspot] = []
    """Of a diagnostic burst: where the time went by line, most expensive first."""
    stages: list[StageUse] = []
    """Of a ``tf.data`` pipeline: what each transformation did and what AUTOTUNE chose, where TensorFlow tells."""
    syncs: list[SyncPoint] = []
    """Of a diagnostic burst on an accelerator: where the host waited for it, most expensive first."""
    missing: list[str] = []
    """What could not be measured inside the target, and why."""
    ranks: list[RankUse] = []
    """Of a job with several ranks: each one's share. Then ``wait_s`` is that of the rank that waits longest for each
    batch, and ``samples`` are those of all."""
    abandoned: bool = False
    """Ended early because it was clearly losing."""
    sameness: Sameness = Sameness.UNKNOWN
    host: HostUse = HostUse()
    gpu: GpuUse = GpuUse()
    series: Series | None = None
    """What the machine did meanwhile, moment by moment."""


class Infeasible(msgspec.Struct, frozen=True, kw_only=True):
    """A trial that could not run; the target was put back to its last good settings."""

    settings: Settings
    purpose: Purpose
    reason: str
    """One line: exception type and message, or which deadline passed."""
    cost_s: float = 0.0
