"""Samples a second: the staged pipeline against DataLoader's process workers and SPDL, in one run.

    python benchmarks/pipeline.py        (writes results/reference/pipeline.json; spdl-core and pillow if installed)

Two kinds of work: 5 ms of latency a sample (remote storage), and JPEG decoding (needs pillow).
"""

from __future__ import annotations

import importlib.util
import io
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

import figures
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


def of_batches(load: Callable[[int], torch.Tensor], length: int, threads: int) -> Iterable[Any]:
    """One thread a batch, as a DataLoader's worker: no hand-over for each sample."""
    stage = Stage("batch", lambda indices: torch.stack([load(index) for index in indices]), threads, buffer=2)
    return Pipeline(batches_of(length), [stage], source_buffer=2)


def spdl(load: Callable[[int], torch.Tensor], length: int, threads: int) -> Iterable[Any]:
    """SPDL used directly: the same function in its own thread pool, batches collected by its own stage."""
    from spdl.pipeline import PipelineBuilder

    built = (
        PipelineBuilder()
        .add_source(range(length))
        .pipe(load, concurrency=threads)
        .aggregate(BATCH)
        .pipe(torch.stack)
        .add_sink(2)
        .build(num_threads=threads)
    )
    with built.auto_stop():
        yield from built


def spdl_of_batches(load: Callable[[int], torch.Tensor], length: int, threads: int) -> Iterable[Any]:
    """SPDL with a batch an item."""
    from spdl.pipeline import PipelineBuilder

    def batch(indices: list[int]) -> torch.Tensor:
        return torch.stack([load(index) for index in indices])

    built = (
        PipelineBuilder()
        .add_source(batches_of(length))
        .pipe(batch, concurrency=threads)
        .add_sink(2)
        .build(num_threads=threads)
    )
    with built.auto_stop():
        yield from built


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
    found = {
        f"DataLoader, {n} workers": rate(lambda n=n: DataLoader(data, BATCH, num_workers=n), length) for n in (2, 4, 8)
    }
    kinds = {"Pipeline": pipeline, "Pipeline of batches": of_batches}
    if importlib.util.find_spec("spdl"):
        kinds |= {"SPDL": spdl, "SPDL of batches": spdl_of_batches}
    for name, make in kinds.items():
        for n in (2, 8, 32):
            found[f"{name}, {n} threads"] = rate(lambda n=n, make=make: make(load, length, n), length)
    return found


def best(found: dict[str, float], name: str) -> float:
    """Return the best rate of one kind."""
    return max((value for key, value in found.items() if key.startswith(name)), default=0.0)


def main() -> None:
    result: dict[str, Any] = {"latency of 5 ms": measure(latency, 1600)}
    try:
        result["JPEG decode and resize"] = measure(Jpeg(), 640)
    except ImportError:
        print("no pillow: JPEG work left out", file=sys.stderr)
    for found in list(result.values()):
        found["best Pipeline / best DataLoader"] = round(best(found, "Pipeline") / best(found, "DataLoader"), 3)
        if best(found, "SPDL"):
            found["best Pipeline / best SPDL"] = round(best(found, "Pipeline") / best(found, "SPDL"), 3)
    figures.write("pipeline", {"torch": torch.__version__, **result})


if __name__ == "__main__":
    main()
