"""A staged pipeline in place of a DataLoader; it says which stage to give more threads.

python examples/staged_pipeline.py
"""

from __future__ import annotations

import time

import torch

from gputune.probes.runtime import Pipeline, Stage


def read(index: int) -> torch.Tensor:
    """Fetch one sample."""
    time.sleep(0.004)  # remote storage
    return torch.full((3, 32, 32), float(index % 255))


def decode(image: torch.Tensor) -> torch.Tensor:
    """Decode one sample."""
    time.sleep(0.001)
    return image / 255


def main() -> None:
    """Run the same work with one and with four reading threads."""
    for threads in (1, 4):
        pipeline = Pipeline(range(300), [Stage("read", read, threads), Stage("decode", decode)])
        started = time.perf_counter()
        total = sum(float(image.mean()) for image in pipeline)
        seconds = time.perf_counter() - started
        print(f"{threads} reading threads: {300 / seconds:.0f} samples/s, sum {total:.1f}")
        for stage in pipeline.occupancy():
            print(f"  {stage.stage:8} busy {stage.busy_share:4.0%}")
        print(f"  bottleneck: {pipeline.bottleneck()}")


if __name__ == "__main__":
    main()
