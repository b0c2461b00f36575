"""What machine this is: the limits every campaign has to live within."""

from __future__ import annotations

import platform

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
