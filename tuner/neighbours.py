"""What other processes cost a burst. Pure.

The kernel counts how long a thread stood ready to run while others had the CPU (``/proc/PID/schedstat``). On a busy
machine most of what makes one burst slower than the next is this waiting in line; taken out, repeats agree about five
times better (measured: 4 % of spread became 0.7 % on two cores under a load of four).
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from gputune import stats
from gputune.probes.burst import Burst

DISTURBED_SHARE, DISTURBED_CORES = 0.03, 0.5
"""Time lost to others, or cores they kept busy where the former is not counted, from which on a burst that matters is
repeated once."""
MOST_LOST = 0.5
"""However busy the others were: what takes twice as long has another reason."""


def cores(bursts: Sequence[Burst]) -> float:
    """Return the median of the cores that other processes kept busy during bursts (0: unknown)."""
    known = [burst.host.other_cpu_cores for burst in bursts]
    return median([value for value in known if value is not None] or [0.0])


def disturbed(burst: Burst) -> bool:
    """Whether others cost a burst enough to repeat it once."""
    lost, other = lost_share(burst), burst.host.other_cpu_cores
    return lost > DISTURBED_SHARE if lost is not None else other is not None and other > DISTURBED_CORES


def lost_share(burst: Burst) -> float | None:
    """Return the part of a burst's time lost standing in line for a CPU that others had; ``None`` if not counted.

    Where the loop waits for data it is the workers' standing in line that costs time, elsewhere the training thread's.
    In proportion to the CPU time used, own processes stand in each other's way; that part is the script's own doing.
    """
    main, workers = burst.host.queued_share, burst.host.worker_queued_share
    own, other = burst.host.cpu_cores, burst.host.other_cpu_cores
    if main is None or own is None or other is None or burst.ranks:  # whose line held up the job is not known
        return None
    queued = main
    if burst.settings.num_workers > 0:
        if workers is None:
            return None
        waits = stats.data_wait_share(burst)
        queued = (1 - waits) * main + waits * workers
    busy = own + other
    return min(MOST_LOST, queued * other / busy) if busy > 0 else 0.0


def lost_shares(bursts: Sequence[Burst]) -> list[float]:
    """Return :func:`lost_share` of every burst, or nothing where it is unknown of one."""
    known = [share for burst in bursts if (share := lost_share(burst)) is not None]
    return known if len(known) == len(bursts) else []


def undisturbed(samples_per_s: Sequence[float], lost: Sequence[float]) -> list[float]:
    """Return the throughput there would have been had nobody else wanted the CPUs."""
    return [rate / (1 - share) for rate, share in zip(samples_per_s, lost, strict=True)]
