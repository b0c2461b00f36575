"""What machine this is: the limits every campaign has to live within."""

from __future__ import annotations

import platform

import msgspec

from gputune.probes import host
from gputune.probes.gpu import Gpu, open_gpu
from gputune.record import Machine


def describe(gpu: Gpu | None = None) -> Machine:
    """Return the machine's limits as this process meets them.

    Args:
        gpu: the device the script uses; without one, the first visible device is looked at and let go again.
    """
    if gpu is None:
        gpu = open_gpu()
        try:
            return describe(gpu)
        finally:
            gpu.close()
    cpus, memory = host.cpus(), host.memory()
    return Machine(
        cpus=cpus.present,
        effective_cpus=cpus.effective,
        cpu_model=host.cpu_model(),
        threads_per_core=host.threads_per_core(),
        memory_bytes=memory.total_bytes if memory else None,
        memory_available_bytes=memory.available_bytes if memory else None,
        shm_free_bytes=host.shm_free_bytes(),
        open_files_limit=host.open_files_limit(),
        gpu=gpu.name,
        driver=gpu.driver,
        platform=platform.platform(),
    )


def share(machine: Machine, ranks: int) -> Machine:
    """Return what one of several ranks on a machine may take: an even part of everything that they share."""
    if ranks <= 1:
        return machine
    return msgspec.structs.replace(
        machine,
        cpus=_part(machine.cpus, ranks),
        effective_cpus=machine.effective_cpus and machine.effective_cpus / ranks,
        memory_bytes=_part(machine.memory_bytes, ranks),
        memory_available_bytes=_part(machine.memory_available_bytes, ranks),
        shm_free_bytes=_part(machine.shm_free_bytes, ranks),
    )


def _part(amount: int | None, ranks: int) -> int | None:
    return None if amount is None else max(1, amount // ranks)
