"""What the scripts with injected faults load: one data set a fault."""

from __future__ import annotations

import multiprocessing
import os
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from amounts import Amounts
from torch.utils.data import Dataset

WIDTH = 512
PIECE_BYTES = 4096
RECORDS_BYTES = 1 << 30


def burn(cpu_s: float) -> None:
    """Compute for this much CPU time, however busy the machine is."""
    end = time.thread_time() + cpu_s
    while time.thread_time() < end:
        sum(range(200))


class Memory(Dataset[Any]):
    """Samples that cost nothing; the others add their fault to them."""

    def __init__(self, length: int, amounts: Amounts) -> None:
        self.length, self.amounts = length, amounts

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.full((WIDTH,), float(index % 7))


class Compressed(Memory):
    """Decodes each sample."""

    def __init__(self, length: int, amounts: Amounts) -> None:
        super().__init__(length, amounts)
        self.blob = compressed(amounts.size)

    def __getitem__(self, index: int) -> torch.Tensor:
        pixels = decode(self.blob)
        return torch.from_numpy(pixels[:WIDTH].astype(np.float32))


def compressed(size: int) -> bytes:
    return zlib.compress(np.random.default_rng(0).integers(0, 9, size).astype(np.uint8).tobytes(), 6)


def decode(blob: bytes) -> Any:
    return np.frombuffer(zlib.decompress(blob), dtype=np.uint8)


class Flip:
    """A fast transform."""

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Turn a sample around."""
        return x.flip(0)


class Sharpen:
    """The slow transform."""

    def __init__(self, cost_s: float) -> None:
        self.cost_s = cost_s

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Compute for a while."""
        burn(self.cost_s)
        return x


class Scale:
    """Another fast transform."""

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Halve a sample."""
        return x * 0.5


class Transformed(Memory):
    """One slow transform among fast ones."""

    def __getitem__(self, index: int) -> torch.Tensor:
        x = super().__getitem__(index)
        for step in (Flip(), Sharpen(self.amounts.cost_s), Scale(), Flip()):
            x = step(x)
        return x


class Remote(Memory):
    """Every sample waits for an answer."""

    def __getitem__(self, index: int) -> torch.Tensor:
        time.sleep(self.amounts.cost_s)
        return super().__getitem__(index)


class Pipe(Memory):
    """Every sample passes through one pipe of fixed bandwidth that all workers share."""

    lock = multiprocessing.Lock()

    def __getitem__(self, index: int) -> torch.Tensor:
        with self.lock:
            time.sleep(self.amounts.cost_s)
        return super().__getitem__(index)


class Tail(Memory):
    """One sample in so many takes long."""

    def __getitem__(self, index: int) -> torch.Tensor:
        time.sleep(self.amounts.cost_s if index % self.amounts.every == 0 else 0.0)
        return super().__getitem__(index)


class Records(Memory):
    """Every sample is read in pieces from all over a large file, which is not in the page cache at first."""

    def __init__(self, length: int, amounts: Amounts, *, warm: bool = False) -> None:
        super().__init__(length, amounts)
        path = Path(os.environ.get("CAUSES_RECORDS", "records.bin"))
        if not path.exists() or path.stat().st_size < RECORDS_BYTES:
            write_records(path)
        self.file = os.open(path, os.O_RDONLY)
        if warm:
            while os.read(self.file, 1 << 24):
                pass
        else:
            os.posix_fadvise(self.file, 0, 0, os.POSIX_FADV_DONTNEED)
            os.posix_fadvise(self.file, 0, 0, os.POSIX_FADV_RANDOM)  # reads nothing it was not asked for
        self.places = np.random.default_rng(1).permutation(RECORDS_BYTES // PIECE_BYTES)

    def __getitem__(self, index: int) -> torch.Tensor:
        first = index * self.amounts.size
        for number in range(first, first + self.amounts.size):
            piece = self.places[number % len(self.places)]
            content = os.pread(self.file, PIECE_BYTES, int(piece) * PIECE_BYTES)
        return torch.full((WIDTH,), float(content[0]))


def write_records(path: Path) -> None:
    block = np.random.default_rng(2).integers(0, 255, 1 << 24, dtype=np.uint8).tobytes()
    with path.open("wb") as file:
        for _ in range(RECORDS_BYTES // len(block)):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())  # only clean pages can be dropped from the cache


class Threads(Memory):
    """Every sample calls a library that starts as many threads as there are cores, in every worker."""

    def __init__(self, length: int, amounts: Amounts) -> None:
        super().__init__(length, amounts)
        self.weights = np.random.default_rng(0).random((amounts.size, amounts.size))

    def __getitem__(self, index: int) -> torch.Tensor:
        product = self.weights @ self.weights
        return torch.full((WIDTH,), float(product[0, 0] > 0))


class Heavy(Memory):
    """More computing than the machine has cores for."""

    def __getitem__(self, index: int) -> torch.Tensor:
        burn(self.amounts.cost_s)
        return super().__getitem__(index)
