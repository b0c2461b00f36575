"""Facts about this machine and installation that a bug report needs, each limit with what to do about it."""

from __future__ import annotations

import importlib.metadata
import multiprocessing
import os
import platform
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from gputune._version import __version__
from gputune.probes import host
from gputune.probes.cgroup import Cgroup, Throttling
from gputune.probes.gpu import GPM, Gpu
from gputune.probes.host import Cpus, Memory

_SMALL_SHM_BYTES = 1 << 30
"""Containers get 64 MiB by default; a handful of prefetched image batches needs more than that."""
_FEW_FILES = 4096
"""torch hands each tensor of a batch over as an open file."""
_BUSY_SHARE = 0.3
_MUCH_THROTTLED_S = 1.0


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """One thing about the machine."""

    name: str
    value: str
    advice: str = ""
    """What to do, when the value limits what gputune can find or reach; empty when it does not."""


def examine(gpu: Gpu, sandbox: str) -> list[Fact]:
    """Return everything worth knowing, in the order to show it.

    Args:
        gpu: the device to ask about.
        sandbox: how the user's files are kept as they were on this machine.
    """
    cpus, memory = host.cpus(), host.memory()
    versions = {package: _version(package) for package in ("torch", "nvidia-ml-py", "pynvml")}
    return [
        Fact(name="gputune", value=__version__),
        Fact(name="Python", value=f"{platform.python_version()} ({platform.python_implementation()})"),
        Fact(name="platform", value=platform.platform()),
        *packages(versions, has_gpu=bool(gpu.name)),
        *graphics(gpu),
        cpu_limit(cpus),
        Fact(name="CPU model", value=host.cpu_model()),
        *cpu_throttling(Cgroup().throttling()),
        load(os.getloadavg()[0], cpus.present),
        Fact(name="memory", value=_memory(memory)),
        shared_memory(host.shm_free_bytes()),
        open_files(host.open_files_limit()),
        start_methods(multiprocessing.get_all_start_methods()),
        Fact(name="sandbox", value=sandbox),
    ]


def packages(versions: Mapping[str, str], has_gpu: bool) -> Iterator[Fact]:
    """Judge the installed packages by their metadata: importing torch takes seconds."""
    torch, bindings = versions.get("torch", ""), versions.get("nvidia-ml-py", "")
    advice = "" if torch else "install torch into the environment that runs the training script"
    if has_gpu and "+cpu" in torch:
        advice = "this build of torch cannot use the GPU; install a CUDA build (https://pytorch.org)"
    yield Fact(name="torch", value=torch or "not installed", advice=advice)
    advice = "" if bindings else "pip install nvidia-ml-py, so that GPU figures can be read"
    if versions.get("pynvml"):
        advice = "pip uninstall pynvml: it is deprecated and makes torch warn; nvidia-ml-py is enough"
    yield Fact(name="nvidia-ml-py", value=bindings or "not installed", advice=advice)


def graphics(gpu: Gpu) -> Iterator[Fact]:
    """Judge the GPU and list what cannot be read of it."""
    if not gpu.name:
        reasons = "; ".join(gpu.gaps().values())
        advice = "without a GPU gputune tunes against the step time on the CPU; run it where training runs"
        yield Fact(name="GPU", value=f"none: {reasons}", advice=advice)
        return
    yield Fact(name="GPU", value=f"{gpu.name} ({gpu.uuid})")
    yield Fact(name="driver", value=gpu.driver or "unknown")
    reading = gpu.read()
    if reading.memory_total_bytes is not None:
        yield Fact(name="GPU memory", value=_size(reading.memory_total_bytes))
    gaps = gpu.gaps()
    if GPM not in gaps:
        yield Fact(name=f"GPU {GPM}", value="readable")
    for metric, reason in gaps.items():
        yield Fact(name=f"GPU {metric}", value=f"missing: {reason}", advice=_metric_advice(reason))


def _metric_advice(reason: str) -> str:
    if "permission" in reason:
        return "run as root or let users read counters (NVreg_RestrictProfilingToAdminUsers=0)"
    return "reports leave this figure out; verdicts do not depend on it"


def cpu_limit(cpus: Cpus) -> Fact:
    """Judge how many CPUs may be used."""
    quota = "none" if cpus.quota is None else f"{cpus.quota:g}"
    value = f"{cpus.effective:g} usable (present {cpus.present}, affinity {cpus.affinity}, quota {quota})"
    advice = ""
    if cpus.effective < cpus.present:
        cause = "the container's CPU quota" if cpus.effective < cpus.affinity else "the CPU affinity"
        advice = (
            f"{cause} leaves {cpus.effective:g} of {cpus.present}; loaders sized by os.cpu_count() get too "
            "many workers. Raise it (docker --cpus, Kubernetes limits.cpu, Slurm --cpus-per-task) if data is "
            "the bottleneck"
        )
    return Fact(name="CPUs", value=value, advice=advice)


def cpu_throttling(throttling: Throttling | None) -> Iterator[Fact]:
    """Judge whether the quota has been hit, where it is counted."""
    if throttling is not None:
        much = throttling.throttled_s > _MUCH_THROTTLED_S
        yield Fact(
            name="CPU throttling",
            value=f"{throttling.periods} times, {throttling.throttled_s:.1f} s in all",
            advice="the CPU quota has been hit; use fewer workers or raise the quota" if much else "",
        )


def load(average: float, cpus: int) -> Fact:
    """Judge whether other work would disturb measurements."""
    busy = average > _BUSY_SHARE * cpus
    advice = "other work is running; measure on a quiet machine or expect wider intervals" if busy else ""
    return Fact(name="load (1 min)", value=f"{average:.1f} on {cpus} CPUs", advice=advice)


def shared_memory(free_bytes: int | None) -> Fact:
    """Judge the memory through which workers hand batches over."""
    advice = ""
    if free_bytes is None:
        advice = "torch's workers hand batches over through it; mount a tmpfs at /dev/shm"
    elif free_bytes < _SMALL_SHM_BYTES:
        advice = "limits workers x prefetch; start the container with --shm-size=8g or --ipc=host"
    return Fact(name="/dev/shm free", value="missing" if free_bytes is None else _size(free_bytes), advice=advice)


def open_files(limit: int | None) -> Fact:
    """Judge the limit on open files."""
    few = limit is not None and limit < _FEW_FILES
    advice = f"many workers may end in 'Too many open files': ulimit -n {16 * _FEW_FILES}" if few else ""
    return Fact(name="open files limit", value="unlimited" if limit is None else str(limit), advice=advice)


def start_methods(methods: Sequence[str]) -> Fact:
    """Judge how worker processes start; the first method is the default."""
    default, *others = methods
    advice = ""
    if default != "fork":
        advice = f"workers start by {default}, about a second each; the script needs a __main__ guard"
    return Fact(name="start methods", value=", ".join([f"{default} (default)", *others]), advice=advice)


def _memory(memory: Memory | None) -> str:
    if memory is None:
        return "unknown"
    return f"{_size(memory.available_bytes)} available of {_size(memory.total_bytes)}"


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _size(size_bytes: int) -> str:
    return f"{size_bytes / (1 << 30):.1f} GiB"
