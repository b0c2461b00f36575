"""What a log call costs the training thread: torch's SummaryWriter against the asynchronous one, in one run.

python benchmarks/async_logging.py        (writes results/reference/logging.json; needs tensorboard)
"""

from __future__ import annotations

import io
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import figures
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
        found = {
            "scalar_us": median_us(lambda n: writer.add_scalar("loss", 0.5, n), 1000),
            "scalar_tensor_us": median_us(lambda n: writer.add_scalar("loss", loss, n), 1000),
            "image_3x512x512_us": median_us(lambda n: writer.add_image("image", image, n), 5),
            "histogram_1e6_us": median_us(lambda n: writer.add_histogram("weights", weights, n), 5),
        }
        writer.close()
    return found


def main() -> None:
    result: dict[str, Any] = {"SummaryWriter": measure_writer()}
    if not install_async_logging():
        raise SystemExit("tensorboard is not installed: pip install tensorboard")
    result["SummaryWriter, asynchronous"] = measure_writer()
    uninstall_async_logging()
    out = async_writer(io.StringIO())
    result["async_writer"] = {"line_us": median_us(lambda n: out.write("0.5,0.25\n"), 1000)}
    figures.write("logging", {"torch": torch.__version__, **result})


if __name__ == "__main__":
    main()
