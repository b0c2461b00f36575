"""A small training script with one fault, named on its command line; ``benchmarks/causes.py`` profiles each.

With ``--cured`` the fault is left out; with ``--seconds`` it trains that long and prints its rate, which is how the
benchmark learns what the fault really costs.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from amounts import TUNED, Amounts
from data import (
    PIECE_BYTES,
    RECORDS_BYTES,
    WIDTH,
    Compressed,
    Heavy,
    Memory,
    Pipe,
    Records,
    Remote,
    Tail,
    Threads,
    Transformed,
    burn,
    compressed,
    decode,
)
from torch.utils.data import DataLoader

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("fault", choices=list(TUNED))
parser.add_argument("--amounts", type=json.loads, default={}, help="JSON: other amounts than the usual ones")
parser.add_argument("--cured", action="store_true")
parser.add_argument("--seconds", type=float)
arguments = parser.parse_args()
FAULT: str = arguments.fault
CURED: bool = arguments.cured
AMOUNTS: Amounts = replace(TUNED[FAULT], **arguments.amounts)
BATCH = AMOUNTS.batch
torch.set_num_threads(1)


class Blocking(logging.Handler):
    """Sends every record to a slow place."""

    def emit(self, record: logging.LogRecord) -> None:
        """Wait for the slow place."""
        time.sleep(AMOUNTS.cost_s)


def slow_collate(samples: list[torch.Tensor]) -> torch.Tensor:
    burn(0.0 if CURED else AMOUNTS.cost_s)
    return torch.stack(samples)


def slow_start(worker: int) -> None:
    time.sleep(AMOUNTS.cost_s)


def prepare(batch: torch.Tensor) -> torch.Tensor:
    """Work on the training thread."""
    burn(AMOUNTS.cost_s)
    return batch - batch.mean()


KINDS: dict[str, type[Memory]] = {
    "main_thread_loading": Compressed,
    "cpu_bound_decode": Compressed,
    "slow_transform": Transformed,
    "latency": Remote,
    "bandwidth": Pipe,
    "heavy_tail": Tail,
    "cold_cache": Records,
    "library_threads": Threads,
    "too_few_cores": Heavy,
    "healthy_fed": Remote,
}


def make_loader() -> DataLoader[Any]:
    """Return the training loader of the fault."""
    length, workers = BATCH * AMOUNTS.epoch, AMOUNTS.workers
    if FAULT == "cold_cache":
        whole = RECORDS_BYTES // PIECE_BYTES // AMOUNTS.size  # one pass reads each piece once
        return DataLoader(Records(whole, AMOUNTS, warm=CURED), batch_size=BATCH, num_workers=workers)
    if FAULT == "short_epochs" and not CURED:
        return DataLoader(Memory(length, AMOUNTS), BATCH, num_workers=workers, worker_init_fn=slow_start)
    if FAULT == "tiny_samples" and CURED:
        return DataLoader(Memory(length, AMOUNTS), BATCH)
    if FAULT == "slow_collate":
        return DataLoader(Memory(length, AMOUNTS), BATCH, num_workers=workers, collate_fn=slow_collate)
    kind = Memory if CURED else KINDS.get(FAULT, Memory)
    return DataLoader(
        kind(length, AMOUNTS),
        batch_size=BATCH,
        num_workers=workers,
        persistent_workers=workers > 0 and ("validation" in FAULT or FAULT == "short_epochs"),
    )


class AcceleratorStandIn(torch.nn.Module):
    """Keeps the training thread waiting as an accelerator would, without taking a core."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Wait for the step."""
        time.sleep(AMOUNTS.step_s)
        return x


def make_model() -> torch.nn.Module:
    if AMOUNTS.step_s:
        return torch.nn.Sequential(torch.nn.Linear(WIDTH, 64), AcceleratorStandIn(), torch.nn.Linear(64, 1))
    if FAULT == "tiny_samples":
        return torch.nn.Linear(WIDTH, 1)
    return torch.nn.Sequential(
        torch.nn.Linear(WIDTH, 3072), torch.nn.ReLU(), torch.nn.Linear(3072, 1536), torch.nn.Linear(1536, 1)
    )


model = make_model()
optimizer = torch.optim.SGD(model.parameters(), 1e-4)
ballast = torch.zeros(AMOUNTS.size if FAULT == "large_checkpoint" else 10)


def train_step(batch: torch.Tensor) -> torch.Tensor:
    loss = model(batch).square().mean()
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss.detach()


def after_step(step: int, batch: torch.Tensor) -> None:
    """What some loops do after a step."""
    last_of_many = step % AMOUNTS.every == AMOUNTS.every - 1
    if FAULT == "image_log":
        batch = batch.reshape(BATCH, 1, 16, 32).expand(-1, 3, -1, -1).repeat(1, 1, AMOUNTS.size, AMOUNTS.size)
    if CURED:
        return
    if FAULT == "blocking_log":
        logging.getLogger("train").warning("step %d", step)
    elif FAULT == "image_log":
        writer.add_images("inputs", batch, step)
    elif FAULT == "large_checkpoint" and last_of_many:
        torch.save({"model": model.state_dict(), "ballast": ballast}, "model.pt")
    elif FAULT == "healthy_with_events" and last_of_many:
        torch.save(model.state_dict(), "model.pt")


def validate() -> None:
    slow = FAULT == "slow_validation_loader"
    if CURED and not slow:
        return
    kind = Remote if slow and not CURED else Memory
    with torch.no_grad():
        for batch in DataLoader(kind(BATCH * AMOUNTS.other, AMOUNTS), batch_size=BATCH):
            model(batch)


def batches() -> Iterator[int]:
    """Train without end, yielding the number of steps taken after each."""
    step, loader = 0, make_loader()
    while True:
        for batch in loader:
            works_here = FAULT == "main_thread_preprocessing" and not CURED
            train_step(prepare(batch) if works_here else batch)
            after_step(step, batch)
            step += 1
            yield step
        if "validation" in FAULT:
            validate()


def batches_without_loader() -> Iterator[int]:
    blob, step = compressed(AMOUNTS.size), 0
    pixels = decode(blob)
    while True:
        batch = np.stack([(pixels if CURED else decode(blob))[:WIDTH] for _ in range(BATCH)])
        train_step(torch.from_numpy(batch.astype(np.float32)))
        step += 1
        yield step


def timed(steps: Iterator[int], seconds: float) -> float:
    """Return samples per second over whole cycles of whatever happens now and then."""
    cycle = AMOUNTS.every if "checkpoint" in FAULT or "events" in FAULT else 10
    cycle = AMOUNTS.epoch if "validation" in FAULT or FAULT == "short_epochs" else cycle
    next(step for step in steps if step >= 10)
    first = next(step for step in steps if step % cycle == 0)
    start_s = time.perf_counter()
    for step in steps:
        elapsed_s = time.perf_counter() - start_s
        if step % cycle == 0 and elapsed_s >= seconds:
            break
    return (step - first) * BATCH / elapsed_s


if __name__ == "__main__":
    if FAULT == "blocking_log":
        logging.getLogger("train").addHandler(Blocking())
        logging.getLogger("train").propagate = False
    if FAULT == "image_log":
        from torch.utils.tensorboard import SummaryWriter

        writer = SummaryWriter(os.path.join(os.getcwd(), "tensorboard"))  # type: ignore[no-untyped-call]
    endless = batches_without_loader() if FAULT == "no_loader" else batches()
    if arguments.seconds:
        print(json.dumps({"samples_per_s": timed(endless, arguments.seconds)}))
        sys.stdout.flush()
        os._exit(0)  # workers of an unfinished pass need not be waited for
    for _ in endless:
        pass
