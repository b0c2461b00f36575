"""An asynchronous SummaryWriter writes the events of the synchronous one, with the wall time of the call."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from gputune.probes.runtime.tensorboard import install_async_logging, uninstall_async_logging

pytest.importorskip("tensorboard", reason="tensorboard is not installed")


@pytest.fixture
def asynchronous() -> Iterator[None]:
    assert install_async_logging()
    yield
    uninstall_async_logging()


def events(folder: Path) -> list[Any]:
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    files = sorted(folder.glob("events*"))
    return [event for file in files for event in EventFileLoader(str(file)).Load() if event.summary.value]


def log_everything(folder: Path) -> None:
    from torch.utils.tensorboard import SummaryWriter

    torch.manual_seed(0)
    value, image = torch.zeros(1), torch.rand(3, 8, 8)
    with SummaryWriter(str(folder)) as writer:
        for step in range(50):
            value.fill_(step)
            writer.add_scalar("loss", value, step, walltime=1000.0 + step)
            writer.add_scalars("both", {"a": step, "b": 2}, step, walltime=5.0)
        writer.add_histogram("weights", value.expand(10), 3, walltime=7.0)
        writer.add_image("image", image, 4, 8.0, "CHW")
        image.zero_()
        writer.add_text("note", "hello", 5, walltime=9.0)


def test_the_events_are_those_of_the_synchronous_writer(tmp_path: Path, asynchronous: None) -> None:
    log_everything(tmp_path / "async")
    uninstall_async_logging()
    log_everything(tmp_path / "sync")
    ours, theirs = events(tmp_path / "async"), events(tmp_path / "sync")
    assert len(ours) == 53
    assert ours == theirs


def test_the_wall_time_is_that_of_the_call(tmp_path: Path, asynchronous: None, monkeypatch: Any) -> None:
    from torch.utils.tensorboard import SummaryWriter

    from gputune.probes.runtime import tensorboard as module

    writer = SummaryWriter(str(tmp_path))
    monkeypatch.setattr(module.time, "time", lambda: 123.0)
    writer.add_scalar("x", 1.0, 0)
    monkeypatch.undo()
    writer.close()
    assert [event.wall_time for event in events(tmp_path)] == [123.0]


def test_a_script_that_never_closes_its_writer_loses_nothing(tmp_path: Path) -> None:
    script = (
        "from gputune.probes.runtime.tensorboard import install_async_logging\ninstall_async_logging()\n"
        "from torch.utils.tensorboard import SummaryWriter\n"
        f"w = SummaryWriter({str(tmp_path)!r})\nfor n in range(200): w.add_scalar('x', n, n)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)
    assert [event.step for event in events(tmp_path)] == list(range(200))
