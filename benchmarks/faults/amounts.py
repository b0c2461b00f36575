"""How much of each fault is injected: the amounts the diagnosis was developed with, and amounts drawn at random.

The draws come from a seed that was fixed before any of them was measured; nothing was tuned on them.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

HELD_OUT_SEED = 20261124


@dataclass(frozen=True)
class Amounts:
    """What a script needs to know about its fault; each fault uses the fields that matter to it."""

    step_s: float = 0.012
    """What the accelerator's stand-in takes for one step; 0 trains a small model on the CPU alone."""
    batch: int = 16
    workers: int = 2
    cost_s: float = 0.0
    """Of a sample, a call or an event."""
    size: int = 0
    """Bytes of a compressed sample, rows of a matrix, pieces of a record, numbers in a checkpoint."""
    every: int = 1
    """Batches between events, or samples between slow ones."""
    epoch: int = 400
    """Batches in one pass over the training data."""
    other: int = 0
    """Batches in one validation."""


TUNED: dict[str, Amounts] = {
    "main_thread_loading": Amounts(workers=0, size=150_000),
    "cpu_bound_decode": Amounts(workers=1, size=300_000),
    "slow_transform": Amounts(workers=1, cost_s=0.0013),
    "latency": Amounts(workers=1, cost_s=0.003),
    "bandwidth": Amounts(workers=2, cost_s=0.002),
    "slow_collate": Amounts(workers=1, cost_s=0.02),
    "tiny_samples": Amounts(step_s=0.0, batch=1, epoch=100_000),
    "heavy_tail": Amounts(workers=6, cost_s=0.4, every=200),
    "short_epochs": Amounts(epoch=20, cost_s=0.3),
    "cold_cache": Amounts(workers=1, size=24),
    "library_threads": Amounts(size=700),
    "too_few_cores": Amounts(cost_s=0.008),
    "main_thread_preprocessing": Amounts(cost_s=0.025),
    "blocking_log": Amounts(cost_s=0.02),
    "image_log": Amounts(size=8),
    "large_checkpoint": Amounts(size=75_000_000, every=100),
    "long_validation": Amounts(epoch=40, other=60),
    "slow_validation_loader": Amounts(epoch=40, other=20, cost_s=0.003),
    "no_loader": Amounts(size=150_000),
    "healthy_from_memory": Amounts(step_s=0.0, workers=0),
    "healthy_fed": Amounts(step_s=0.03, workers=4, cost_s=0.003),
    "healthy_with_events": Amounts(step_s=0.03, every=400),
}
"""Also the list of faults, in the order they are shown."""


def drawn(fault: str, draw: int = 0) -> Amounts:
    """Return the held-out amounts of a fault: the same for the same draw on every machine."""
    pick = random.Random(f"{HELD_OUT_SEED}/{fault}/{draw}")
    amounts, batch = TUNED[fault], pick.choice((8, 16, 24, 32))
    # Loading takes a multiple of the step, or there would be no fault to find.
    step_s = amounts.step_s
    load_s = step_s * pick.uniform(1.6, 5.0) / batch
    # Computing at more than about twice the speed of the step would be a lack of cores on a small machine.
    compute_s = step_s * pick.uniform(1.4, 1.8) / batch
    workers, between, whole = pick.choice((1, 2)), pick.uniform, pick.randrange
    by_fault = {
        "main_thread_loading": {"batch": batch, "size": whole(100_000, 400_000)},
        "cpu_bound_decode": {"batch": batch, "size": round(compute_s * 2.4e8)},
        "slow_transform": {"batch": batch, "cost_s": compute_s},
        "latency": {"batch": batch, "workers": workers, "cost_s": load_s * workers},
        "bandwidth": {"batch": batch, "workers": pick.choice((2, 3)), "cost_s": load_s},
        "slow_collate": {"batch": batch, "cost_s": compute_s * batch},
        "tiny_samples": {"batch": pick.choice((1, 2)), "workers": pick.choice((1, 2, 3))},
        "heavy_tail": {"workers": whole(4, 9), "cost_s": between(0.3, 0.6), "every": whole(150, 300)},
        "short_epochs": {"workers": workers, "epoch": whole(15, 40), "cost_s": between(0.2, 0.6)},
        "cold_cache": {"batch": batch, "size": whole(18, 32) * 16 // batch},
        "library_threads": {"batch": pick.choice((8, 16)), "size": whole(500, 900)},
        "too_few_cores": {"workers": pick.choice((2, 3)), "cost_s": between(0.005, 0.012)},
        "main_thread_preprocessing": {"batch": batch, "cost_s": between(0.008, 0.04)},
        "blocking_log": {"batch": batch, "cost_s": between(0.005, 0.04)},
        "image_log": {"size": whole(6, 11)},
        "large_checkpoint": {"batch": batch, "size": whole(40_000_000, 100_000_000), "every": whole(60, 150)},
        "long_validation": {"batch": batch, "epoch": whole(30, 60), "other": whole(30, 90)},
        "slow_validation_loader": {
            "epoch": whole(30, 60), "other": whole(10, 30), "cost_s": between(0.002, 0.006)
        },
        "no_loader": {"batch": batch, "size": whole(100_000, 400_000)},
        "healthy_from_memory": {"batch": batch},
        "healthy_fed": {"cost_s": between(0.001, 0.004), "workers": whole(4, 7)},
        "healthy_with_events": {"batch": batch, "every": whole(300, 600)},
    }  # fmt: skip
    return replace(amounts, **by_fault[fault])  # type: ignore[arg-type]
