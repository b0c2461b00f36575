"""Memory of a tree counts shared pages once, and shows when copy-on-write un-shares them."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from gputune.probes.memory import TreeMemory

BLOCK = 64 << 20


@pytest.mark.parametrize(("work", "copies"), [("looks", 0), ("writes", 1)])
def test_a_forked_child_costs_only_what_it_has_written_to(work: str, copies: int) -> None:
    if not Path("/proc/self/smaps_rollup").exists():
        pytest.skip("this kernel has no smaps_rollup")
    before = TreeMemory().read([os.getpid()])
    held = bytearray(os.urandom(1 << 20) * (BLOCK >> 20))
    assert before is not None
    pid = os.fork()
    if pid == 0:
        if work == "writes":
            for place in range(0, BLOCK, 4096):
                held[place] = 1
        time.sleep(30)
        os._exit(0)
    try:
        time.sleep(0.5)
        together = TreeMemory().read([os.getpid(), pid])
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    assert together is not None
    assert together - before == pytest.approx((1 + copies) * BLOCK, abs=BLOCK / 3)


def test_a_tree_of_which_a_part_is_gone_has_no_size(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "smaps_rollup").write_text("00400000-7fff [rollup]\nRss: 900 kB\nPss: 512 kB\n")
    assert TreeMemory(tmp_path).read([7]) == 512 << 10
    assert TreeMemory(tmp_path).read([7, 8]) is None


def test_it_is_read_seldom(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "smaps_rollup").write_text("00400000-7fff [rollup]\nPss: 512 kB\n")
    memory = TreeMemory(tmp_path)
    assert memory.read([7]) == 512 << 10
    assert memory.read([7]) is None
