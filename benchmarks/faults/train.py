"""A small training script with one fault, named on its command line; ``benchmarks/causes.py`` profiles each."""

from __future__ import annotations

import logging
import multiprocessing
import os
import sys
import time
import zlib
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

FAULT = sys.argv[1]
torch.set_num_threads(1)
WIDTH, BATCH = 512, 16


def burn(cpu_s: float) -> None:
    """Compute for this much CPU time, however busy the machine is."""
    end = time.thread_time() + cpu_s
    while time.thread_time() < end:
        sum(range(200))


class Memory(Dataset[Any]):
    """Samples that cost nothing."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.full((WIDTH,), float(index % 7))


class Compressed(Memory):
    """Decodes each sample."""

    blob = zlib.compress(np.random.default_rng(0).integers(0, 9, 150_000).astype(np.uint8).tobytes(), 6)

    def __getitem__(self, index: int) -> torch.Tensor:
        pixels = decode(self.blob)
        return torch.from_numpy(pixels[:WIDTH].astype(np.float32))


def decode(blob: bytes) -> Any:
    return np.frombuffer(zlib.decompress(blob), dtype=np.uint8)


class Flip:
    """A fast transform."""

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Turn a sample around."""
        return x.flip(0)


class Sharpen:
    """The slow transform."""

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Compute for a while."""
        burn(0.0012)
        return x


class Scale:
    """Another fast transform."""

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Halve a sample."""
        return x * 0.5


class Transformed(Memory):
    """One slow transform among fast ones."""

    steps = (Flip(), Sharpen(), Scale(), Flip())

    def __getitem__(self, index: int) -> torch.Tensor:
        x = super().__getitem__(index)
        for step in self.steps:
            x = step(x)
        return x


class Remote(Memory):
    """Every sample waits for an answer."""

    def __getitem__(self, index: int) -> torch.Tensor:
        time.sleep(0.003)
        return super().__getitem__(index)


class Pipe(Memory):
    """Every sample passes through one pipe of fixed bandwidth that all workers share."""

    lock = multiprocessing.Lock()

    def __getitem__(self, index: int) -> torch.Tensor:
        with self.lock:
            time.sleep(0.002)
        return super().__getitem__(index)


class Tail(Memory):
    """One sample in 200 takes long."""

    def __getitem__(self, index: int) -> torch.Tensor:
        time.sleep(0.4 if index % 200 == 0 else 0.0)
        return super().__getitem__(index)


class Threads(Memory):
    """Every sample calls a library that starts as many threads as there are cores, in every worker."""

    weights = np.random.default_rng(0).random((700, 700))

    def __getitem__(self, index: int) -> torch.Tensor:
        product = self.weights @ self.weights
        return torch.full((WIDTH,), float(product[0, 0] > 0))


class Heavy(Memory):
    """More computing than the machine has cores for."""

    def __getitem__(self, index: int) -> torch.Tensor:
        burn(0.008)
        return super().__getitem__(index)


class Blocking(logging.Handler):
    """Sends every record to a slow place."""

    def emit(self, record: logging.LogRecord) -> None:
        """Wait for the slow place."""
        time.sleep(0.02)


def slow_start(worker: int) -> None:
    time.sleep(0.3)


def prepare(batch: torch.Tensor) -> torch.Tensor:
    """Work on the training thread."""
    burn(0.025)
    return batch - batch.mean()


def make_loader() -> DataLoader[Any]:
    """Return the training loader of the fault."""
    many = BATCH * 400
    kinds: dict[str, tuple[Dataset[Any], int]] = {
        "main_thread_loading": (Compressed(many), 0),
        "cpu_bound_decode": (Compressed(many), 1),
        "slow_transform": (Transformed(many), 1),
        "latency": (Remote(many), 1),
        "bandwidth": (Pipe(many), 2),
        "heavy_tail": (Tail(many), 6),
        "library_threads": (Threads(many), 2),
        "too_few_cores": (Heavy(many), 2),
        "healthy_from_memory": (Memory(many), 0),
        "healthy_fed": (Remote(many), 4),
    }
    if FAULT == "tiny_samples":
        return DataLoader(Memory(100_000), batch_size=1, num_workers=2)
    if FAULT == "short_epochs":
        return DataLoader(Memory(BATCH * 20), batch_size=BATCH, num_workers=2, worker_init_fn=slow_start)
    if FAULT in ("long_validation", "slow_validation_loader"):
        return DataLoader(Memory(BATCH * 40), batch_size=BATCH, num_workers=2, persistent_workers=True)
    dataset, workers = kinds.get(FAULT, (Memory(many), 2))
    return DataLoader(dataset, batch_size=BATCH, num_workers=workers)


def make_model() -> torch.nn.Module:
    if FAULT == "tiny_samples":
        return torch.nn.Linear(WIDTH, 1)
    return torch.nn.Sequential(
        torch.nn.Linear(WIDTH, 3072), torch.nn.ReLU(), torch.nn.Linear(3072, 1536), torch.nn.Linear(1536, 1)
    )


model = make_model()
optimizer = torch.optim.SGD(model.parameters(), 1e-4)
ballast = torch.zeros(10_000_000) if FAULT == "large_checkpoint" else torch.zeros(10)


def train_step(batch: torch.Tensor) -> torch.Tensor:
    for _ in range(3 if FAULT.startswith("healthy") else 1):
        loss = model(batch).square().mean()
        loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss.detach()


def after_step(step: int, batch: torch.Tensor) -> None:
    """What some loops do after a step."""
    if FAULT == "blocking_log":
        logging.getLogger("train").warning("step %d", step)
    elif FAULT == "image_log":
        writer.add_images("inputs", batch.reshape(BATCH, 1, 16, 32).expand(-1, 3, -1, -1).repeat(1, 1, 8, 8), step)
    elif FAULT == "large_checkpoint" and step % 10 == 0:
        torch.save({"model": model.state_dict(), "ballast": ballast}, "model.pt")
    elif FAULT == "healthy_with_events" and step % 400 == 399:
        torch.save(model.state_dict(), "model.pt")


def validate() -> None:
    slow = FAULT == "slow_validation_loader"
    data = Remote(BATCH * 20) if slow else Memory(BATCH * 60)
    with torch.no_grad():
        for batch in DataLoader(data, batch_size=BATCH):
            for _ in range(1 if slow else 4):
                model(batch)


def train() -> None:
    step = 0
    for _ in range(1000):
        for batch in make_loader():
            train_step(prepare(batch) if FAULT == "main_thread_preprocessing" else batch)
            after_step(step, batch)
            step += 1
        if "validation" in FAULT:
            validate()


def train_without_loader() -> None:
    for step in range(10**6):
        batch = np.stack([decode(Compressed.blob)[:WIDTH] for _ in range(BATCH)])
        train_step(torch.from_numpy(batch.astype(np.float32)))
        del step


if __name__ == "__main__":
    if FAULT == "blocking_log":
        logging.getLogger("train").addHandler(Blocking())
        logging.getLogger("train").propagate = False
    if FAULT == "image_log":
        from torch.utils.tensorboard import SummaryWriter

        writer = SummaryWriter(os.path.join(os.getcwd(), "tensorboard"))  # type: ignore[no-untyped-call]
    if FAULT == "no_loader":
        train_without_loader()
    else:
        train()
