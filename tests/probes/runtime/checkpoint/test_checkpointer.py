"""Versioned checkpoints: names, retention after durability, bounded pool, one writer a name."""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from gputune.probes.runtime.checkpoint import AsyncCheckpointer, AsyncSaveError
from gputune.probes.runtime.checkpoint import lane as lane_module


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.pt"))


def test_names_carry_version_step_and_time_and_go_on_after_a_restart(tmp_path: Path) -> None:
    for run in range(2):
        with AsyncCheckpointer(tmp_path / "deep" / "run") as checkpointer:
            saved = [checkpointer.save({"n": n}, step=100 * n).result(60) for n in range(2)]
        assert [c.version for c in saved] == [2 * run + 1, 2 * run + 2]
    names = files(tmp_path / "deep" / "run")
    assert len(names) == 4
    assert all(re.fullmatch(r"checkpoint-v\d{6}-s\d{8}-\d{8}T\d{6}\.\d{6}Z\.pt", name) for name in names)
    assert torch.load(saved[1].path) == {"n": 1}


def test_retention_keeps_the_last_and_the_best_also_over_a_restart(tmp_path: Path) -> None:
    with AsyncCheckpointer(tmp_path, keep_last=2, keep_best=1) as checkpointer:
        for step, metric in enumerate([0.5, 0.1, 0.9, float("nan"), 0.7]):
            checkpointer.save({"step": step}, step=step, metric=metric)
        checkpointer.wait()
    with AsyncCheckpointer(tmp_path, keep_last=2, keep_best=1) as checkpointer:
        checkpointer.save({"step": 5}, step=5, metric=0.6)
        checkpointer.wait()
        best, latest = checkpointer.best(), checkpointer.latest()
    assert best is not None
    assert latest is not None
    assert (best.step, latest.step) == (1, 5)
    assert [torch.load(tmp_path / name)["step"] for name in files(tmp_path)] == [1, 4, 5]


def test_higher_can_be_better(tmp_path: Path) -> None:
    with AsyncCheckpointer(tmp_path, keep_best=1, mode="max") as checkpointer:
        for step, metric in enumerate([0.1, 0.8, 0.3]):
            checkpointer.save({}, step=step, metric=metric).result(60)
        assert checkpointer.best().step == 1  # type: ignore[union-attr]
    assert len(files(tmp_path)) == 2  # the best, and the newest for a restart


def test_nothing_is_deleted_when_the_new_file_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpointer = AsyncCheckpointer(tmp_path, keep_last=1, writer="thread")
    checkpointer.save({"n": 1}).result(60)

    def full(*_args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(lane_module, "write_durably", full)
    future = checkpointer.save({"n": 2})
    with pytest.raises(OSError, match="No space left"):
        future.result(60)
    with pytest.raises(AsyncSaveError, match=r"was not written: .*No space left"):
        checkpointer.save({"n": 3})
    monkeypatch.undo()
    assert [torch.load(tmp_path / name) for name in files(tmp_path)] == [{"n": 1}]
    checkpointer.close()


def test_the_pool_bounds_what_is_under_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, lock, under_way, most = threading.Event(), threading.Lock(), [0], [0]
    real = lane_module.write_durably

    def counted(*args: Any) -> None:
        with lock:
            under_way[0] += 1
            most[0] = max(most[0], under_way[0])
        gate.wait(10)
        real(*args)
        with lock:
            under_way[0] -= 1

    monkeypatch.setattr(lane_module, "write_durably", counted)
    with AsyncCheckpointer(tmp_path, max_workers=2, writer="thread") as checkpointer:
        threading.Timer(0.2, gate.set).start()
        for n in range(6):
            checkpointer.save({"n": n})
    assert most[0] == 2
    assert sorted(torch.load(tmp_path / name)["n"] for name in files(tmp_path)) == list(range(6))


def test_a_second_checkpointer_needs_a_prefix_of_its_own(tmp_path: Path) -> None:
    with AsyncCheckpointer(tmp_path):
        with pytest.raises(AsyncSaveError, match="another checkpointer writes 'checkpoint'"):
            AsyncCheckpointer(tmp_path)
        with AsyncCheckpointer(tmp_path, prefix="rank1") as other:
            other.save({}).result(60)
    with AsyncCheckpointer(tmp_path):
        pass
    assert json.loads((tmp_path / ".rank1.index.json").read_text())[0]["version"] == 1


def test_bad_arguments_are_refused_with_their_values(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="max_workers must be at least 1, not 0"):
        AsyncCheckpointer(tmp_path, max_workers=0)
    with pytest.raises(ValueError, match=r"\.\./up"):
        AsyncCheckpointer(tmp_path, prefix="../up")
    checkpointer = AsyncCheckpointer(tmp_path, keep_best=1)
    with pytest.raises(ValueError, match="needs a metric"):
        checkpointer.save({})
    checkpointer.close()
    with pytest.raises(AsyncSaveError, match="is closed"):
        checkpointer.save({}, metric=1.0)
