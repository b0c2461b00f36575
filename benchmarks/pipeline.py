"""Samples a second: the staged pipeline against DataLoader's process workers, in one run.

    python benchmarks/pipeline.py [--out results/reference/pipeline.json]

Two kinds of work: 5 ms of latency a sample (remote storage), and JPEG decoding (needs pillow).
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from gputune.probes.runtime import Pipeline, Stage

BATCH = 16


class Samples(Dataset[torch.Tensor]):
    """A map-style dataset over a function."""

    def __init__(self, load: Callable[[int], torch.Tensor], length: int) -> None:
        self._load, self._length = load, length

    def __getitem__(self, index: int) -> torch.Tensor:
        return self._load(index)

    def __len__(self) -> int:
        return self._length


def latency(index: int) -> torch.Tensor:
    time.sleep(0.005)
    return torch.full((16,), float(index))


def make_jpeg() -> bytes:
    import numpy as np
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize((512, 384)).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


class Jpeg:
    """Decodes and resizes one JPEG, as an image dataset does for each sample."""

    def __init__(self) -> None:
        self._data = make_jpeg()

    def __call__(self, index: int) -> torch.Tensor:
        """Decode one image."""
        import numpy as np
        from PIL import Image

        with Image.open(io.BytesIO(self._data)) as image:
            return torch.from_numpy(np.asarray(image.convert("RGB").resize((224, 224))).copy())


def batches_of(length: int) -> list[list[int]]:
    return [list(range(start, min(start + BATCH, length))) for start in range(0, length, BATCH)]


def pipeline(load: Callable[[int], torch.Tensor], length: int, threads: int) -> Iterable[Any]:
    """One thread a sample: samples are the items, batches are collected by the consumer's side."""
    samples = Pipeline(range(length), [Stage("load", load, threads, buffer=2 * BATCH)], source_buffer=2 * BATCH)

    def collated() -> Iterable[Any]:
        held = []
        for sample in samples:
            held.append(sample)
            if len(held) == BATCH:
                yield torch.stack(held)
                held = []
        if held:
            yield torch.stack(held)

    return collated()


def rate(make: Callable[[], Iterable[Any]], length: int) -> float:
    """Return samples a second over one epoch, start-up included, best of two."""
    rates = []
    for _ in range(2):
        started = time.perf_counter()
        seen = sum(len(batch) for batch in make())
        assert seen == length
        rates.append(length / (time.perf_counter() - started))
    return round(max(rates), 1)


def measure(load: Callable[[int], torch.Tensor], length: int) -> dict[str, float]:
    torch.set_num_threads(1)
    data = Samples(load, length)
    figures = {
        f"DataLoader, {n} workers": rate(lambda n=n: DataLoader(data, BATCH, num_workers=n), length)
        for n in (0, 2, 4, 8)
    }
    figures |= {f"Pipeline, {n} threads": rate(lambda n=n: pipeline(load, length, n), length) for n in (2, 8, 16, 32)}
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    result: dict[str, Any] = {"latency of 5 ms": measure(latency, 1600)}
    try:
        result["JPEG decode and resize"] = measure(Jpeg(), 640)
    except ImportError:
        print("no pillow: JPEG work left out", file=sys.stderr)
    result["machine"] = {
        "cpus": os.cpu_count(),
        "torch": torch.__version__,
        "load_average": os.getloadavg()[0],
    }
    text = json.dumps(result, indent=1)
    print(text)
    if options.out:
        options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
