"""A small training script of one kind, named on its command line; ``benchmarks/search_real.py`` tunes each.

    python benchmarks/real/train.py latency [--workers 2] [--prefetch 4] [--persistent] [--seconds 3]

The loader's work is real (decoding, waiting, memory moved); the step also sleeps, as an accelerator would leave the
CPU alone. With ``--seconds`` it measures itself for so long after its first batches, prints samples/s and ends: what
a loop with a restart for each trial needs.
"""

import argparse
import os
import tempfile
import time
import zlib

import torch
from torch.utils.data import DataLoader, Dataset

WARMUP = 8
"""Batches before ``--seconds`` begin, and the stock of the workers on top."""


class Samples(Dataset):
    """Samples of ``width`` numbers that are there at once."""

    def __init__(self, length: int = 1_000_000, width: int = 256) -> None:
        self.length, self.width = length, width

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.full((self.width,), float(index % 7))


class Waiting(Samples):
    """Samples that arrive after a time."""

    def __init__(self, wait_s: float, length: int = 1_000_000, width: int = 256) -> None:
        super().__init__(length, width)
        self.wait_s = wait_s

    def __getitem__(self, index: int) -> torch.Tensor:
        time.sleep(self.wait_s)
        return super().__getitem__(index)


class Tailed(Samples):
    """One sample in fifty takes a hundred times as long as the others."""

    def __getitem__(self, index: int) -> torch.Tensor:
        time.sleep(0.12 if index * 2654435761 % 50 == 0 else 0.0012)
        return super().__getitem__(index)


class Compressed(Samples):
    """Samples that have to be unpacked: CPU work, no waiting."""

    blob = zlib.compress(bytes(i * i % 251 for i in range(60_000)) * 16, 6)

    def __getitem__(self, index: int) -> torch.Tensor:
        pixels = torch.frombuffer(bytearray(zlib.decompress(self.blob)), dtype=torch.uint8)
        return pixels.float()[: self.width]


class Large(Waiting):
    """Samples that fill shared memory: a megabyte each."""

    def __getitem__(self, index: int) -> torch.Tensor:
        time.sleep(self.wait_s)
        return torch.full((1 << 18,), float(index % 7))


def job(kind: str) -> tuple[Dataset, dict, float]:
    """Return the data, the loader's own arguments, and what a step keeps the accelerator busy, in seconds."""
    kinds = {
        "latency": lambda: (Waiting(0.004), {"batch_size": 16}, 0.02),
        "decode": lambda: (Compressed(), {"batch_size": 16}, 0.02),
        "tiny": lambda: (Samples(width=4), {"batch_size": 8, "num_workers": 4}, 0.0),
        "tail": lambda: (Tailed(), {"batch_size": 8, "num_workers": 1}, 0.012),
        "shared_memory": lambda: (Large(0.004), {"batch_size": 4, "num_workers": 1, "prefetch_factor": 1}, 0.008),
        "short_epochs": lambda: (Waiting(0.002, length=160), {"batch_size": 16, "num_workers": 2}, 0.02),
        "optimal": lambda: (Waiting(0.002), {"batch_size": 16, "num_workers": 3}, 0.02),
        "checkpoint": lambda: (Waiting(0.003), {"batch_size": 16, "num_workers": 1}, 0.02),
    }
    return kinds[kind]()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind")
    parser.add_argument("--workers", type=int)
    parser.add_argument("--prefetch", type=int)
    parser.add_argument("--persistent", action="store_true")
    parser.add_argument("--seconds", type=float, help="measure for so long, print samples/s and end")
    args = parser.parse_args()
    torch.set_num_threads(1)
    data, settings, step_s = job(args.kind)
    if args.workers is not None:
        settings |= {"num_workers": args.workers, "prefetch_factor": (args.prefetch or 2) if args.workers else None}
        settings["persistent_workers"] = args.persistent and args.workers > 0
    loader = DataLoader(data, shuffle=True, **settings)
    width = 4 if args.kind == "tiny" else 256
    model = torch.nn.Linear(width, 8)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6)
    checkpoint = os.path.join(tempfile.mkdtemp(), "checkpoint.pt") if args.kind == "checkpoint" else ""
    warmup = WARMUP + loader.num_workers * (loader.prefetch_factor or 0)
    seen, began = 0, 0.0
    for _ in range(1_000_000):
        for batch in loader:
            loss = model(batch[:, :width]).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step_s:
                time.sleep(step_s)
            seen += 1
            if checkpoint and seen % 40 == 0:
                torch.save({"model": model.state_dict(), "ballast": torch.zeros(1 << 24)}, checkpoint)
            if seen == warmup:
                began = time.perf_counter()
            if args.seconds and began and time.perf_counter() - began > args.seconds:
                rate = (seen - warmup) * loader.batch_size / (time.perf_counter() - began)
                print(f"{rate:.1f} samples/s", flush=True)
                return


if __name__ == "__main__":
    main()
