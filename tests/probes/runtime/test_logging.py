"""Asynchronous logging keeps order, wall time and every call that the policy does not allow it to lose."""

from __future__ import annotations

import csv
import io
import logging
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from gputune.probes.runtime.background import BackgroundError, BackgroundThread
from gputune.probes.runtime.logging import AsyncHandler, AsyncLogger, async_writer, make_handlers_async


def test_calls_run_in_order_and_flush_waits() -> None:
    background, seen = BackgroundThread("test"), []
    for number in range(1000):
        background.put(seen.append, number)
    background.flush()
    assert seen == list(range(1000))
    background.close()
    background.put(seen.append, -1)
    assert seen[-1] == -1


def test_a_full_queue_follows_its_policy(capfd: pytest.CaptureFixture[str]) -> None:
    for policy, expected in (
        ("block", [0, 1, 2, 3, 4, 5]),
        ("drop_oldest", [0, 4, 5]),
        ("drop_newest", [0, 1, 2]),
    ):
        gate, begun, seen = threading.Event(), threading.Event(), []

        def slow(number: int) -> None:
            begun.set()  # noqa: B023
            gate.wait(10)  # noqa: B023 - used within the round
            seen.append(number)  # noqa: B023

        background = BackgroundThread("test", capacity=2, when_full=policy)  # type: ignore[arg-type]
        background.put(slow, 0)
        begun.wait(10)
        opener = threading.Timer(0.1, gate.set)
        if policy == "block":
            opener.start()
        for number in range(1, 6):
            background.put(slow, number)
        gate.set()
        background.close()
        assert seen == expected, policy
        assert background.dropped == 6 - len(expected)
    assert capfd.readouterr().err.count("queue of 2 is full, dropping") == 2


def test_an_error_does_not_stop_the_rest_and_surfaces_at_flush() -> None:
    background, seen = BackgroundThread("tracker"), []
    background.put(int, "x")
    background.put(seen.append, 1)
    with pytest.raises(BackgroundError, match="tracker: invalid literal"):
        background.flush()
    assert seen == [1]
    background.flush()


class Tracker:
    def __init__(self) -> None:
        self.rows: list[Any] = []
        self.closed = False

    def log(self, row: dict[str, Any]) -> None:
        time.sleep(0.005)
        self.rows.append(row)

    def close(self) -> None:
        self.closed = True


def test_a_logger_captures_arguments_at_the_call() -> None:
    tracker = Tracker()
    logger = AsyncLogger(tracker)
    row = {"loss": torch.zeros(2), "history": [1]}
    for step in range(5):
        row["loss"].fill_(step)
        row["history"].append(step)
        logger.log(row)
    logger.close()
    assert [r["loss"].tolist() for r in tracker.rows] == [[n, n] for n in range(5)]
    assert [len(r["history"]) for r in tracker.rows] == [2, 3, 4, 5, 6]
    assert tracker.closed
    with pytest.raises(ValueError, match="Tracker has none of the methods write"):
        AsyncLogger(tracker, methods=["write"])


def test_a_csv_writer_goes_through_an_async_file(tmp_path: Path) -> None:
    with async_writer((tmp_path / "log.csv").open("w", newline="")) as file:
        rows = csv.writer(file)
        for step in range(300):
            rows.writerow([step, step / 2])
    assert (tmp_path / "log.csv").read_text().splitlines()[299] == "299,149.5"


def test_slow_handlers_format_at_the_call_and_keep_order() -> None:
    stream = io.StringIO()
    logger = logging.Logger("train")
    logger.addHandler(logging.StreamHandler(stream))
    (handler,) = make_handlers_async(logger)
    assert isinstance(handler, AsyncHandler)
    values = [0]
    for step in range(20):
        values[0] = step
        logger.info("step %s", values)
    handler.close()
    assert stream.getvalue().splitlines() == [f"step [{n}]" for n in range(20)]


def test_exit_writes_what_is_queued(tmp_path: Path) -> None:
    script = (
        "import time\nfrom gputune.probes.runtime.logging import async_writer\n"
        f"class Slow:\n    def __init__(self): self.f = open({str(tmp_path / 'x')!r}, 'w')\n"
        "    def write(self, text): time.sleep(0.01); self.f.write(text); self.f.flush()\n"
        "out = async_writer(Slow())\nfor n in range(20): out.write(f'{n}\\n')\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
    assert (tmp_path / "x").read_text().split() == [str(n) for n in range(20)]
