"""Synthetic Runs with known numbers: what the views are tested on. Deterministic, no clock, no randomness."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from gputune import record
from gputune.probes.burst import (
    Burst,
    GpuUse,
    HostUse,
    Hotspot,
    Infeasible,
    Purpose,
    Stall,
    StallKind,
    Where,
    WorkerBatch,
)
from gputune.probes.protocol import Environment, LoaderSite
from gputune.probes.series import Series
from gputune.probes.settings import Settings

SAMPLES = 32
MAIN = Settings.make(num_workers=0)
NO_GPU = GpuUse()
GOOD = Settings.make(num_workers=3, prefetch_factor=2, pin_memory=True)


def wobble(index: int) -> float:
    """A number in [-1, 1] that looks irregular and is always the same."""
    return math.sin(index * 12.9898) * math.cos(index * 4.1414)


def burst(
    settings: Settings = MAIN,
    purpose: Purpose = Purpose.BASELINE,
    *,
    step_s: float = 0.040,
    wait_s: float = 0.060,
    service_s: float = 0.060,
    cpu: float = 0.95,
    batches: int = 40,
    start_s: float = 1000.0,
    warmup_s: float = 0.3,
    spread: float = 0.05,
    slow_every: int = 0,
    stalls: tuple[Stall, ...] = (),
    gpu: GpuUse = NO_GPU,
) -> Burst:
    """A burst whose mean period is step_s + wait_s; between-period stalls lengthen its wall time."""
    waits = [wait_s * (1 + spread * (wobble(k) - wobble(k + 1))) for k in range(batches)]
    between_s = sum(s.duration_s for s in stalls if s.kind is StallKind.EPOCH)
    lanes = max(1, settings.num_workers)
    workers, clock = [], [start_s + warmup_s - 2 * service_s] * lanes
    for k in range(batches):
        lane, depth = k % lanes, lanes * (settings.prefetch_factor or 0)
        took = service_s * (1 + spread * wobble(k)) * (4 if slow_every and k % slow_every == 0 else 1)
        # A worker starts a batch when the loop has consumed the one that leaves the queue for it.
        wanted_s = start_s + warmup_s + (k - depth) * (step_s + wait_s) + (0 if settings.num_workers else step_s)
        begin_s = max(clock[lane] + 0.002, wanted_s)
        workers.append(WorkerBatch(lane, begin_s, took * 0.97, took * 0.03, took * cpu, begin_s - clock[lane]))
        clock[lane] = begin_s + took
    return Burst(
        settings=settings, purpose=purpose, start_s=start_s,
        end_s=start_s + warmup_s + sum(waits) + step_s * batches + between_s,
        first_batch_s=0.1 + service_s, warmup_batches=3,
        period_s=[step_s + wait for wait in waits], wait_s=waits, samples=[SAMPLES] * batches,
        ready=[-1 if not settings.num_workers else 1] * batches, workers=workers, stalls=list(stalls),
        batches_total=batches + 3, steps=batches, batch_bytes=SAMPLES * 3 * 224 * 224 * 4,
        host=HostUse(cpu_cores=1.1 + settings.num_workers * cpu, other_cpu_cores=0.2, rss_bytes=2 << 30),
        gpu=gpu,
    )  # fmt: skip


def trial(number: int, settings: Settings, why: str, phase: str = "search", **values: Any) -> record.Trial:
    return record.Trial(
        number=number, phase=phase, settings=settings, why=why,
        burst=burst(settings, Purpose.TRIAL, start_s=1000.0 + 10 * number, **values),
    )  # fmt: skip


def site(**changes: Any) -> LoaderSite:
    values: dict[str, Any] = {
        "file": "/home/ana/project/train.py", "line": 57, "function": "main", "dataset_class": "CocoDataset",
        "dataset_length": 118_287, "batches_per_epoch": 3697, "batch_size": SAMPLES, "settings": MAIN,
        "start_method": "fork", "role": "train", "batches": 43,
    }  # fmt: skip
    return LoaderSite(**{**values, **changes})


def environment(device: str = "cuda:0") -> Environment:
    name = "NVIDIA H100 80GB HBM3" if device.startswith("cuda") else ""
    return Environment(pid=4242, python="3.11.9", torch="2.13.0", device=device, device_name=name)


MACHINE = record.Machine(
    cpus=16, effective_cpus=8.0, cpu_model="Xeon 8480", memory_bytes=128 << 30,
    memory_available_bytes=96 << 30, shm_free_bytes=16 << 30, open_files_limit=65536,
    gpu="NVIDIA H100 80GB HBM3", driver="570.12", platform="Linux",
)  # fmt: skip
USER_GPU, FIXED_GPU = GpuUse(utilization=38.0, power_w=190.0), GpuUse(utilization=97.0, power_w=540.0)
CEILING = burst(
    purpose=Purpose.CEILING,
    step_s=0.0392,
    wait_s=0.0002,
    service_s=0.0,
    batches=30,
    gpu=FIXED_GPU,
    start_s=1006.0,
)


def proof(candidate: Settings = GOOD, *, pairs: int = 6, wait_s: float = 0.0006, better: bool = True) -> record.Proof:
    made = []
    for k in range(pairs):
        drift = 0.06 * (1 + 0.01 * wobble(k))
        user = burst(MAIN, Purpose.PROOF, start_s=1100.0 + 10 * k, wait_s=drift, gpu=USER_GPU)
        after = burst(
            candidate,
            Purpose.PROOF,
            start_s=1105.0 + 10 * k,
            wait_s=wait_s,
            service_s=0.066,
            spread=0.2,
            gpu=FIXED_GPU,
        )
        made.append(record.Pair(user=user, candidate=after))
    ratio = 0.1 / (0.04 + wait_s)
    low, high = (ratio * 0.984, ratio * 1.016) if better else (ratio * 0.96, ratio * 1.04)
    return record.Proof(candidate=candidate, pairs=made, ratio=ratio, low=low, high=high, better=better)


def run(**changes: Any) -> record.Run:
    """A complete run: the training thread loads, three workers cure it."""
    evidence = proof()
    made = record.Run(
        id="20261124-101500-train", created_at="2026-11-24T10:15:00+00:00", tool_version="0.1.0",
        command=["train.py", "--epochs", "3"], cwd="/home/ana/project", outcome=record.Outcome.RECOMMENDED,
        environment=environment(), machine=MACHINE, loader=site(), loaders=[site()],
        options={"budget_s": 90.0, "seed": 0}, baseline=burst(gpu=USER_GPU), ceiling=CEILING,
        trials=[
            trial(1, Settings.make(num_workers=2), "predicted to keep up", wait_s=0.004, service_s=0.062),
            trial(2, Settings.make(num_workers=3), "one more than predicted", wait_s=0.0008, service_s=0.064),
            trial(3, GOOD, "copies are 4 % of wall time", wait_s=0.0005, service_s=0.066),
            trial(4, Settings.make(num_workers=6), "try above", wait_s=0.0006, service_s=0.07),
            record.Trial(
                number=5, phase="search", settings=Settings.make(num_workers=12), why="try well above",
                infeasible=Infeasible(
                    settings=Settings.make(num_workers=12), purpose=Purpose.TRIAL, cost_s=4.2,
                    reason="RuntimeError: DataLoader worker (pid 99) is killed by signal: Bus error",
                ),
            ),
            trial(6, Settings.make(num_workers=1), "cheaper?", "shrink", wait_s=0.022, service_s=0.061),
        ],
        proof=evidence,
        recommendation=record.Recommendation(
            settings=GOOD, ratio=evidence.ratio, low=evidence.low, high=evidence.high,
            reproducibility="identical batches in identical order",
        ),
        missing=["GPU SM utilisation: needs GPM, which this driver does not offer"],
        phases_s={"baseline": 4.3, "ceiling": 1.5, "search": 21.0, "proof": 38.0}, startup_s=3.1,
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


def healthy() -> record.Run:
    base = burst(Settings.make(num_workers=4), wait_s=0.0004, step_s=0.04, service_s=0.03)
    return run(
        baseline=base, outcome=record.Outcome.NOTHING_TO_GAIN, trials=[], proof=None, recommendation=None,
        loader=site(settings=base.settings), loaders=[site(settings=base.settings)],
    )  # fmt: skip


def machine_limit() -> record.Run:
    settings = Settings.make(num_workers=4)
    base = burst(settings, service_s=0.44, wait_s=0.07, step_s=0.04, cpu=0.98)
    machine = record.Machine(cpus=64, effective_cpus=4.0, memory_bytes=16 << 30)
    return run(
        baseline=base, machine=machine, outcome=record.Outcome.MACHINE_LIMIT, proof=None, recommendation=None,
        loader=site(settings=settings), loaders=[site(settings=settings)],
        trials=[trial(1, Settings.make(num_workers=5), "what the model expects", wait_s=0.07, service_s=0.5)],
    )  # fmt: skip


def storage() -> record.Run:
    settings = Settings.make(num_workers=2)
    base = burst(settings, service_s=0.2, wait_s=0.06, cpu=0.08)
    return run(baseline=base, loader=site(settings=settings), loaders=[site(settings=settings)])


def slow_samples() -> record.Run:
    settings = Settings.make(num_workers=8)
    base = burst(settings, service_s=0.1, wait_s=0.02, slow_every=10)
    return run(baseline=base, loader=site(settings=settings), loaders=[site(settings=settings)])


def not_proved() -> record.Run:
    evidence = proof(wait_s=0.0589, better=False)
    return run(outcome=record.Outcome.NOT_PROVED, proof=evidence, recommendation=None)


def interrupted() -> record.Run:
    return run(status=record.Status.INTERRUPTED, outcome=record.Outcome.UNKNOWN, proof=None, recommendation=None)


def no_loader() -> record.Run:
    return record.Run(
        id="20261124-111500-plain", created_at="2026-11-24T11:15:00+00:00", command=["plain.py"],
        status=record.Status.NO_LOADER, environment=environment("cpu"), tool_version="0.1.0",
    )  # fmt: skip


def script_failed() -> record.Run:
    return record.Run(
        id="20261124-121500-bad", created_at="2026-11-24T12:15:00+00:00", command=["bad.py"],
        tool_version="0.1.0",        status=record.Status.SCRIPT_FAILED,
        script_output_tail="Traceback (most recent call last):\n  ...\nFileNotFoundError: data/train",
    )  # fmt: skip


def with_events() -> record.Run:
    """Copies every step, one checkpoint, an epoch end that holds a validation."""
    base = burst(MAIN)
    copies = tuple(Stall(StallKind.COPY, 1000.31 + 0.1 * k, 0.004, k) for k in range(10))
    events = (
        *copies,
        Stall(StallKind.CHECKPOINT, 1001.5, 0.02, 12),
        Stall(StallKind.EPOCH, 1002.0, 0.8, 17),
        Stall(StallKind.VALIDATION, 1002.1, 0.5, 17),
    )
    grown = burst(MAIN, stalls=events, batches=len(base.period_s))
    return run(baseline=grown, loader=site(batches_per_epoch=200), loaders=[site(batches_per_epoch=200)])


def sampled(made: Burst, gpu: bool = True) -> Burst:
    """The burst with what the machine did meanwhile: five samples a second, two cores."""
    count = max(1, round((made.end_s - made.start_s) / 0.2))
    ends = [made.start_s + 0.2 * (k + 1) for k in range(count)]
    wobbles = [wobble(k) for k in range(count)]
    series = Series(
        start_s=made.start_s, t_s=ends, cpu_cores=[1.2 + 0.3 * w for w in wobbles],
        gpu_utilization=[(made.gpu.utilization or 0.0) + 10 * w if gpu else None for w in wobbles],
        rss_bytes=[2 << 30] * count, cores=[0, 1],
        core_busy=[[round(60 + 30 * w) for w in wobbles], [round(40 + 20 * w) for w in wobbles]],
    )  # fmt: skip
    return msgspec.structs.replace(made, series=series)


def diagnosis() -> Burst:
    """A burst whose stacks were sampled for 1.5 s."""
    root = "/home/ana/project"
    spots = [
        (Where.FETCH, f"{root}/datasets/coco.py", 41, "CocoDataset.__getitem__", "RandomResizedCrop", 0.52),
        (Where.FETCH, f"{root}/datasets/coco.py", 38, "CocoDataset.__getitem__", "Image.open", 0.31),
        (Where.COLLATE, f"{root}/datasets/coco.py", 90, "collate", "", 0.12),
        (Where.STEP, f"{root}/train.py", 66, "main", "ResNet.forward", 0.6),
        (Where.MAIN, f"{root}/train.py", 70, "main", "", 0.25),
    ]
    hotspots = [
        Hotspot(where=where, file=file, line=line, function=function, via=via, seconds_share=share, seconds=1.5 * share)
        for where, file, line, function, via, share in spots
    ]
    return msgspec.structs.replace(burst(purpose=Purpose.DIAGNOSIS, start_s=1008.0), hotspots=hotspots)


def detailed() -> record.Run:
    """Everything a page can show: events, samples over time, stacks by line, predictions."""
    base = with_events()
    assert base.baseline is not None
    assert base.proof is not None
    measured = msgspec.structs.replace(base.baseline, gpu=USER_GPU)
    guesses = {1: 745.0, 2: 770.0, 3: 798.0, 4: 800.0, 6: 400.0}
    trials = [msgspec.structs.replace(t, predicted_samples_per_s=guesses.get(t.number)) for t in base.trials]
    last = base.proof.pairs[-1]
    pairs = [*base.proof.pairs[:-1], msgspec.structs.replace(last, candidate=sampled(last.candidate))]
    proved = msgspec.structs.replace(base.proof, pairs=pairs)
    return msgspec.structs.replace(
        base, id="20261124-131500-detailed", baseline=sampled(measured), trials=trials, proof=proved,
        diagnosis=diagnosis(),
    )  # fmt: skip


ALL = {
    "recommended": run, "healthy": healthy, "machine_limit": machine_limit, "storage": storage,
    "slow_samples": slow_samples, "not_proved": not_proved, "interrupted": interrupted,
    "no_loader": no_loader, "script_failed": script_failed, "with_events": with_events,
    "detailed": detailed,
}  # fmt: skip
