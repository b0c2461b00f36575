"""What cannot be written surfaces where the user looks, and the previous file stays."""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from gputune.probes.runtime.checkpoint import (
    AsyncSaveError,
    install_async_save,
    torch_names,
    uninstall_async_save,
)
from gputune.probes.runtime.checkpoint import install as install_module
from gputune.probes.runtime.checkpoint import saver as saver_module
from gputune.probes.runtime.checkpoint.archive import TEMPORARY_PREFIX, remove_remains
from gputune.probes.runtime.checkpoint.saver import AsyncSaver, torch_save

KILLS = 200 if os.environ.get("GPUTUNE_LONG_TESTS") else 20


@pytest.fixture(params=["thread", "process"])
def saver(request: pytest.FixtureRequest) -> Iterator[AsyncSaver]:
    installed = install_async_save(request.param)
    assert installed is not None
    installed.warm_up()
    yield installed
    uninstall_async_save()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    where = tmp_path / "small"
    where.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", where], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("needs the right to mount a small tmpfs")
    yield where
    subprocess.run(["umount", where], check=True)


def test_a_full_disk_surfaces_at_the_next_save_and_keeps_the_old_file(
    saver: AsyncSaver, small_disk: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = small_disk / "x.pt"
    torch.save({"version": 1}, path)
    torch.save({"version": 2, "x": torch.ones(1_000_000)}, path)
    assert torch.load(path) == {"version": 1}
    with pytest.raises(AsyncSaveError, match=r"x\.pt.*failed"):
        torch.save({"version": 3}, path)
    assert "FAILED" in capfd.readouterr().err
    torch.save({"version": 4}, path)
    assert torch.load(path) == {"version": 4}
    assert os.listdir(small_disk) == ["x.pt"]


def test_a_folder_removed_while_writing_surfaces(
    saver: AsyncSaver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    resolve = saver_module.resolve

    def resolve_then_lose_the_folder(path: object) -> object:
        where = resolve(path)
        shutil.rmtree(folder)
        return where

    # Barriers keep this process from removing it in between, so another process is played here.
    monkeypatch.setattr(saver_module, "resolve", resolve_then_lose_the_folder)
    torch.save({"x": torch.ones(10)}, folder / "x.pt")
    with pytest.raises(AsyncSaveError, match="No such file"):
        saver.flush()


def test_a_missing_folder_raises_at_the_call_with_torchs_own_message(saver: AsyncSaver, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"Parent directory .* does not exist"):
        torch.save({}, tmp_path / "no" / "x.pt")


def test_what_cannot_be_pickled_raises_at_the_call_and_keeps_the_old_file(saver: AsyncSaver, tmp_path: Path) -> None:
    torch.save([1], tmp_path / "x.pt")
    with pytest.raises((AttributeError, TypeError), match=r"lambda|pickle"):
        torch.save({"f": lambda: 1}, tmp_path / "x.pt")
    assert torch.load(tmp_path / "x.pt") == [1]


def test_permission_denied_raises_at_the_call() -> None:
    if os.geteuid() != 0:
        pytest.skip("root is needed to become somebody who may not write")
    script = (
        "import os, tempfile, torch\n"
        "from gputune.probes.runtime import install_async_save\n"
        "os.makedirs(folder := tempfile.mkdtemp(), exist_ok=True); os.chmod(folder, 0o755)\n"
        "install_async_save('thread'); os.setuid(65534)\n"
        "try: torch.save({}, folder + '/x.pt')\n"
        "except RuntimeError as error: print('refused', error)\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert ended.stdout.startswith("refused"), ended.stderr


def test_a_failure_in_the_last_save_becomes_the_exit_status(small_disk: Path) -> None:
    script = (
        "import torch\nfrom gputune.probes.runtime import install_async_save\ninstall_async_save('thread')\n"
        f"torch.save(torch.ones(1_000_000), {str(small_disk / 'x.pt')!r})\nprint('bye')\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert ended.stdout == "bye\n"
    assert "x.pt" in ended.stderr
    assert "FAILED" in ended.stderr


def test_a_killed_writer_process_loses_nothing(tmp_path: Path) -> None:
    installed = install_async_save("process")
    assert installed is not None
    installed.warm_up()
    try:
        torch.save([1], tmp_path / "x.pt")
        installed.flush()
        helper = installed._lane._process
        assert helper is not None
        assert helper._process is not None
        helper._process.kill()
        torch.save([2], tmp_path / "x.pt")
        assert torch.load(tmp_path / "x.pt") == [2]
    finally:
        uninstall_async_save()


def test_links_modes_and_special_files_are_kept_as_they_were(saver: AsyncSaver, tmp_path: Path) -> None:
    real, link, twin = tmp_path / "real.pt", tmp_path / "link.pt", tmp_path / "twin.pt"
    torch.save([1], real)
    os.chmod(real, 0o640)
    link.symlink_to(real)
    torch.save([2], link)
    assert link.is_symlink()
    assert torch.load(real) == [2]
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    os.link(real, twin)
    torch.save([3], real)
    assert torch.load(twin) == [3]
    torch.save([4], "/dev/null")
    assert not os.path.isfile("/dev/null")
    assert len(saver.synchronous_reasons) == 2


def test_a_new_file_gets_the_umask(saver: AsyncSaver, tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        torch.save([1], tmp_path / "x.pt")
        assert stat.S_IMODE((tmp_path / "x.pt").stat().st_mode) == 0o640
    finally:
        os.umask(old)


def test_remains_of_a_killed_process_are_removed_and_live_ones_kept(tmp_path: Path) -> None:
    dead = tmp_path / f"{TEMPORARY_PREFIX}dead"
    young = tmp_path / f"{TEMPORARY_PREFIX}young"
    dead.mkdir()
    young.mkdir()
    (dead / "x.pt").write_bytes(b"half")
    os.utime(dead, (time.time() - 3600, time.time() - 3600))
    assert remove_remains(str(tmp_path)) == 1
    assert not dead.exists()
    assert young.exists()


def test_a_torch_without_the_private_names_keeps_the_synchronous_save(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch_names, "PRIVATE_NAMES", (*torch_names.PRIVATE_NAMES, "torch._C.NotThere"))
    assert install_async_save() is None
    assert torch.save is torch_save
    assert "stays synchronous: torch" in capfd.readouterr().err


def test_a_torch_that_writes_other_bytes_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def other(state: object, path: str) -> None:
        torch_save([state], path)

    monkeypatch.setattr(install_module, "torch_save", other)
    assert "other bytes" in install_module.self_test()


def _save_for_ever(path: str, writer: str, begun: Any) -> None:
    installed = install_async_save("process" if writer == "process" else "thread")
    assert installed is not None
    installed.warm_up()
    torch.set_num_threads(1)  # a forked child has none of its parent's OpenMP threads
    version = 0
    while True:
        version += 1
        torch.save({"version": version, "x": torch.full((500_000,), float(version))}, path)
        if version == 2:  # one whole write is over, so the kill meets the steady state
            begun.set()


@pytest.mark.parametrize(("writer", "kills"), [("thread", KILLS * 7 // 10), ("process", KILLS * 3 // 10)])
def test_sigkill_at_random_moments_never_leaves_a_torn_or_missing_file(tmp_path: Path, writer: str, kills: int) -> None:
    rng = random.Random(7)
    path = tmp_path / "x.pt"
    torch_save({"version": 0, "x": torch.zeros(500_000)}, path)
    context = multiprocessing.get_context("fork")
    seen = set()
    for kill in range(kills):
        begun = context.Event()
        process = context.Process(target=_save_for_ever, args=(str(path), writer, begun))
        process.start()
        assert begun.wait(60)
        time.sleep(rng.random() * 0.06)
        process.kill()
        process.join()
        state = torch.load(path)
        assert torch.equal(state["x"], torch.full((500_000,), float(state["version"]))), f"kill {kill}"
        seen.add(state["version"])
    assert max(seen) > 1
