"""Predictions of the what-if model against torch's real DataLoader.

    PYTHONPATH=.types python benchmarks/validate_model.py [--out FILE]

Fetching and training sleep, so two cores are enough for eight workers; the model learns from one run with two
workers and predicts the rest. About half a minute.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

from gputune.model import Model
from gputune.probes.burst import Burst, Purpose, WorkerBatch
from gputune.probes.settings import Settings

LOOP_S = 0.012
BATCHES = 160
CASES = (
    (1, 2, True),
    (2, 4, True),
    (4, 1, True),
    (4, 2, True),
    (6, 2, True),
    (8, 2, True),
    (4, 8, True),
    (4, 2, False),
)


class Sleeping(Dataset):
    """Items that take a while; each tells who made it and when."""

    def __init__(self, tail: bool) -> None:
        random = np.random.default_rng(0)
        self.seconds = 0.060 * np.exp(0.25 * random.normal(size=400) - 0.03)
        if tail:
            self.seconds = np.where(random.random(400) < 0.05, 8 * self.seconds, self.seconds)

    def __len__(self) -> int:
        return len(self.seconds)

    def __getitem__(self, index: int) -> torch.Tensor:
        began, cpu = time.monotonic(), time.thread_time()
        time.sleep(self.seconds[index])
        info = get_worker_info()
        spent = (time.monotonic() - began, time.thread_time() - cpu)
        return torch.tensor([info.id if info else -1, began, *spent], dtype=torch.float64)


def measure(settings: Settings, tail: bool) -> Burst:
    """Run one epoch's part and record it as the agent would."""
    loader = DataLoader(Sleeping(tail), batch_size=1, **settings.dataloader_kwargs())
    period, wait, workers, start_s = [], [], [], 0.0
    skip = 3 * settings.num_workers + (settings.prefetch_factor or 0) * settings.num_workers
    iterator, previous = iter(loader), time.monotonic()
    batches = BATCHES + skip if settings.num_workers > 1 else 60 + skip
    for number in range(batches):
        asked = time.monotonic()
        worker, began, wall, cpu = next(iterator)[0].tolist()
        now = time.monotonic()
        if number == skip:
            start_s = previous
        if number >= skip:
            period.append(now - previous)
            wait.append(now - asked)
            workers.append(WorkerBatch(int(worker), began, wall, 0.0, cpu, 0.0))
        previous = now
        time.sleep(LOOP_S)
    del iterator
    return Burst(
        settings=settings, purpose=Purpose.TRIAL, start_s=start_s, end_s=previous, period_s=period,
        wait_s=wait,
        samples=[1] * len(period), workers=workers,
    )  # fmt: skip


def ceiling() -> Burst:
    return Burst(
        settings=Settings(), purpose=Purpose.CEILING, start_s=0.0, end_s=1.0, period_s=[LOOP_S + 1e-4] * 20,
        wait_s=[0.0] * 20, samples=[1] * 20,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    print("| workers | prefetch | in order | tail | measured/s | predicted/s | error |\n|---|---|---|---|---|---|---|")
    for tail in (False, True):
        model = Model(effective_cpus=16, ceiling=ceiling())
        model.add(measure(Settings.make(num_workers=2, prefetch_factor=2), tail))
        for workers, prefetch, ordered in CASES:
            settings = Settings.make(num_workers=workers, prefetch_factor=prefetch, in_order=ordered)
            burst = measure(settings, tail)
            measured = len(burst.period_s) / sum(burst.period_s)
            predicted = float(model.predict([settings]).samples_per_s[0])
            rows.append({"settings": str(settings), "tail": tail, "measured": measured, "predicted": predicted})
            print(
                f"| {workers} | {prefetch} | {ordered} | {tail} | {measured:.1f} | "
                f"{predicted:.1f} | {predicted / measured - 1:+.1%} |",
                flush=True,
            )
    errors = [abs(row["predicted"] / row["measured"] - 1) for row in rows]
    print(f"median error {np.median(errors):.1%}, worst {max(errors):.1%}")
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps({"rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
