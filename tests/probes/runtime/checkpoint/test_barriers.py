"""A script that touches the file right after saving sees what it would have seen."""

from __future__ import annotations

import multiprocessing
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from gputune.probes.runtime.checkpoint import install_async_save, uninstall_async_save
from gputune.probes.runtime.checkpoint import lane as lane_module
from gputune.probes.runtime.checkpoint.saver import AsyncSaver, torch_save

STATE = {"x": torch.arange(50_000.0)}
SLOW_DISK_S = 0.15


@pytest.fixture
def saver(monkeypatch: pytest.MonkeyPatch) -> Iterator[AsyncSaver]:
    """An installed saver on a slow disk: every test below would fail if it did not wait."""
    real = lane_module.write_durably

    def slow(*args: Any) -> None:
        time.sleep(SLOW_DISK_S)
        real(*args)

    monkeypatch.setattr(lane_module, "write_durably", slow)
    installed = install_async_save("thread")
    assert installed is not None
    yield installed
    uninstall_async_save()


def _run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


ACCESSES: dict[str, Callable[[Path], Any]] = {
    "torch.load": lambda p: torch.load(p)["x"].sum().item(),
    "torch.load mmap": lambda p: torch.load(p, mmap=True)["x"].sum().item(),
    "open": lambda p: len(p.read_bytes()),
    "os.open": lambda p: os.read(os.open(p, os.O_RDONLY), 4),
    "getsize": os.path.getsize,
    "exists": os.path.exists,
    "pathlib exists": lambda p: pathlib.Path(p).exists(),
    "access": lambda p: os.access(p, os.R_OK),
    "rename": lambda p: (os.rename(p, f"{p}.final"), os.path.getsize(f"{p}.final"))[1],
    "replace": lambda p: (os.replace(p, f"{p}.final"), os.path.getsize(f"{p}.final"))[1],
    "copy": lambda p: os.path.getsize(shutil.copy(p, f"{p}.copy")),
    "copytree": lambda p: sorted(os.listdir(shutil.copytree(p.parent, f"{p.parent}-copy"))),
    "move": lambda p: os.path.getsize(shutil.move(p, f"{p}.moved")),
    "rename of the folder": lambda p: (os.rename(p.parent, f"{p.parent}2"), os.listdir(f"{p.parent}2"))[1],
    "remove": lambda p: (os.remove(p), os.listdir(p.parent))[1],
    "hard link": lambda p: (os.link(p, f"{p}.link"), os.path.getsize(f"{p}.link"))[1],
    "symlink": lambda p: (os.symlink(p, f"{p}.latest"), os.path.getsize(f"{p}.latest"))[1],
    "listdir": lambda p: os.listdir(p.parent),
    "glob": lambda p: [found.name for found in p.parent.glob("*.pt")],
    "rmtree": lambda p: (shutil.rmtree(p.parent), p.parent.exists())[1],
    "chmod": lambda p: (os.chmod(p, 0o600), p.stat().st_mode)[1],
    "subprocess": lambda p: _run("stat", "-c", "%s", str(p)),
    "os.system": lambda p: os.system(f"test -s {p}"),
    "append": lambda p: (p.open("ab").write(b"x"), p.stat().st_size)[1],
}


@pytest.mark.parametrize("name", ACCESSES)
def test_an_access_right_after_the_save_sees_the_file(saver: AsyncSaver, tmp_path: Path, name: str) -> None:
    results = []
    for kind, save in (("sync", torch_save), ("async", torch.save)):
        folder = tmp_path / kind
        folder.mkdir()
        save(STATE, folder / "state.pt")
        results.append(ACCESSES[name](folder / "state.pt"))
    assert results[0] == results[1]
    assert saver.saves == 1


def test_the_working_folder_and_relative_names_are_recognised(
    saver: AsyncSaver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(STATE, "a.pt")
    assert os.listdir() == ["a.pt"]
    torch.save(STATE, "b.pt")
    os.chdir("/")
    assert (tmp_path / "b.pt").exists()
    torch.save(STATE, tmp_path / "c.pt")
    directory = os.open(tmp_path, os.O_RDONLY)
    os.remove("c.pt", dir_fd=directory)
    os.close(directory)
    assert not (tmp_path / "c.pt").exists()


def test_a_save_does_not_wait_for_the_disk_but_flush_does(saver: AsyncSaver, tmp_path: Path) -> None:
    started = time.perf_counter()
    torch.save(STATE, tmp_path / "x.pt")
    called_s = time.perf_counter() - started
    saver.flush()
    assert called_s < SLOW_DISK_S
    assert time.perf_counter() - started >= SLOW_DISK_S


def test_saving_twice_to_one_path_leaves_the_second(saver: AsyncSaver, tmp_path: Path) -> None:
    for number in range(3):
        torch.save(number, tmp_path / "x.pt")
    assert torch.load(tmp_path / "x.pt") == 2


def test_saves_from_several_threads_all_arrive(saver: AsyncSaver, tmp_path: Path) -> None:
    threads = [threading.Thread(target=torch.save, args=({"n": n, **STATE}, tmp_path / f"{n}.pt")) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [torch.load(tmp_path / f"{n}.pt")["n"] for n in range(4)] == [0, 1, 2, 3]


def test_a_signal_handler_may_save_in_the_middle_of_a_save(
    saver: AsyncSaver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = saver.pending.begin

    def interrupted_begin(path: str) -> int:
        signal.raise_signal(signal.SIGUSR1)
        return begin(path)

    def save_once(_number: int, _frame: Any) -> None:
        torch.save({"from": "handler"}, tmp_path / "preempted.pt")

    previous = signal.signal(signal.SIGUSR1, save_once)
    try:
        monkeypatch.setattr(saver.pending, "begin", interrupted_begin)
        torch.save(STATE, tmp_path / "x.pt")
    finally:
        signal.signal(signal.SIGUSR1, previous)
    assert torch.load(tmp_path / "preempted.pt") == {"from": "handler"}
    assert torch.load(tmp_path / "x.pt")["x"].numel() == 50_000


def _load_into(path: Path, answers: Any) -> None:
    answers.put(float(torch.load(path)["x"][1]))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_child_started_right_after_the_save_can_load_the_file(saver: AsyncSaver, tmp_path: Path, method: str) -> None:
    context = multiprocessing.get_context(method)
    answers = context.Queue()
    torch.save(STATE, tmp_path / "x.pt")
    child = context.Process(target=_load_into, args=(tmp_path / "x.pt", answers))
    child.start()
    assert answers.get(timeout=60) == 1.0
    child.join(60)
    assert child.exitcode == 0


def test_a_fork_does_not_wait_for_the_write(saver: AsyncSaver, tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "x.pt")
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    assert saver.pending
    os.waitpid(pid, 0)
    assert (tmp_path / "x.pt").exists()


def test_a_forked_child_saves_for_itself(saver: AsyncSaver, tmp_path: Path) -> None:
    torch.save({"who": "parent"}, tmp_path / "x.pt")
    pid = os.fork()
    if pid == 0:
        torch.save({"who": "child"}, tmp_path / "y.pt")
        mine, theirs = torch.load(tmp_path / "y.pt"), torch.load(tmp_path / "x.pt")
        good = mine["who"] == "child" and theirs["who"] == "parent"
        os._exit(0 if good else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert torch.load(tmp_path / "x.pt")["who"] == "parent"


def test_uninstalling_restores_everything_it_wrapped(tmp_path: Path) -> None:
    before = (torch.save, torch.serialization.save, os.stat, os.lstat, os.access, os._exit)
    assert install_async_save("thread") is not None
    assert torch.save is not before[0]
    torch.save(STATE, tmp_path / "x.pt")
    uninstall_async_save()
    assert (torch.save, torch.serialization.save, os.stat, os.lstat, os.access, os._exit) == before
    assert not any(thread.name == "gputune-save" for thread in threading.enumerate())
    assert torch.load(tmp_path / "x.pt")["x"].numel() == 50_000


@pytest.mark.parametrize("leave", ["pass", "sys.exit(3)", "os._exit(3)", "raise SystemExit(3)", "1 / 0"])
@pytest.mark.parametrize("writer", ["thread", "process"])
def test_the_file_is_there_however_the_script_ends(tmp_path: Path, leave: str, writer: str) -> None:
    script = (
        "import os, sys, torch\n"
        "from gputune.probes.runtime import install_async_save\n"
        f"install_async_save({writer!r})\n"
        f"torch.save({{'x': torch.ones(3_000_000)}}, {str(tmp_path / 'x.pt')!r})\n{leave}\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert ended.returncode == {"pass": 0, "1 / 0": 1}.get(leave, 3), ended.stderr
    assert torch.load(tmp_path / "x.pt")["x"].sum() == 3_000_000
    assert os.listdir(tmp_path) == ["x.pt"]
