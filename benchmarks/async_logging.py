"""What a log call costs the training thread: torch's SummaryWriter against the asynchronous one, in one run.

python benchmarks/async_logging.py [--out results/reference/logging.json]        (needs tensorboard)
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from gputune.probes.runtime import async_writer, install_async_logging, uninstall_async_logging


def median_us(call: Callable[[int], Any], times: int) -> float:
    """Return the median microseconds of one call."""
    taken = []
    for number in range(times):
        started = time.perf_counter()
        call(number)
        taken.append(time.perf_counter() - started)
    return round(statistics.median(taken) * 1e6, 2)


def measure_writer() -> dict[str, float]:
    from torch.utils.tensorboard import SummaryWriter

    image, weights, loss = torch.rand(3, 512, 512), torch.rand(1_000_000), torch.tensor(0.5)
    with tempfile.TemporaryDirectory() as folder:
        writer = SummaryWriter(folder)
        figures = {
            "scalar_us": median_us(lambda n: writer.add_scalar("loss", 0.5, n), 1000),
            "scalar_tensor_us": median_us(lambda n: writer.add_scalar("loss", loss, n), 1000),
            "image_3x512x512_us": median_us(lambda n: writer.add_image("image", image, n), 5),
            "histogram_1e6_us": median_us(lambda n: writer.add_histogram("weights", weights, n), 5),
        }
        writer.close()
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    result: dict[str, Any] = {"SummaryWriter": measure_writer()}
    if not install_async_logging():
        parser.error("tensorboard is not installed: pip install tensorboard")
    result["SummaryWriter, asynchronous"] = measure_writer()
    uninstall_async_logging()
    out = async_writer(io.StringIO())
    result["async_writer"] = {"line_us": median_us(lambda n: out.write("0.5,0.25\n"), 1000)}
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
