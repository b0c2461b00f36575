import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gputune.probes.gpu import NullGpu, Reading
from gputune.probes.sampler import Sampler

Watch = Callable[..., tuple[Any, Any]]
Start = Callable[..., Any]


def test_a_window_holds_only_its_own_cpu_time(watch: Watch) -> None:
    target, sampler = watch("burn(0.8)\nprint('a', flush=True)\nsys.stdin.readline()\n")
    target.go()
    target.line()
    time.sleep(0.3)
    idle_s = time.monotonic()
    time.sleep(0.5)
    busy, quiet = sampler.window(0, idle_s)[0], sampler.window(idle_s, time.monotonic())[0]
    sampler.stop()
    assert busy.cpu_cores is None  # most of that window was before the sampler began
    assert quiet.cpu_cores is not None
    assert quiet.cpu_cores < 0.1


def test_the_cpu_use_of_strangers_is_told_apart(watch: Watch, start: Start) -> None:
    target, sampler = watch("time.sleep(5)\n")
    target.go()
    stranger = start("burn(0.8)\nprint('a', flush=True)\n")
    time.sleep(0.3)
    start_s = time.monotonic()
    stranger.go()
    stranger.line()
    host, _gpu = sampler.window(start_s, time.monotonic())
    sampler.stop()
    assert host.cpu_cores is not None
    assert host.other_cpu_cores is not None
    assert host.cpu_cores < 0.1
    assert host.other_cpu_cores > 0.3


def test_memory_of_workers_is_in_the_sum(watch: Watch) -> None:
    body = (
        "if not os.fork():\n"
        "    block = bytearray(os.urandom(1)) * (64 << 20)\n"
        "    print('grown', flush=True); time.sleep(5); os._exit(0)\n"
        "time.sleep(5)\n"
    )
    target, sampler = watch(body)
    before = sampler.window(time.monotonic() - 0.001, time.monotonic())[0].rss_bytes or 0
    target.go()
    target.line()
    time.sleep(0.2)
    start_s = time.monotonic()
    time.sleep(0.3)
    grown = sampler.window(start_s, time.monotonic())[0].rss_bytes
    sampler.stop()
    assert grown is not None
    assert grown - before > 64 << 20


def test_a_target_that_vanishes_keeps_what_was_seen(watch: Watch) -> None:
    target, sampler = watch("burn(0.5)\nprint('x', flush=True)\nburn(9)\n")
    start_s = target.begin()
    target.line()
    end_s = time.monotonic()
    target.process.kill()
    target.process.wait()
    time.sleep(0.5)
    gone_s = time.monotonic()
    time.sleep(0.3)
    seen, nothing = sampler.window(start_s, end_s)[0], sampler.window(gone_s, time.monotonic())[0]
    sampler.stop()
    assert seen.cpu_cores is not None
    assert seen.cpu_cores * (end_s - start_s) > 0.4
    assert nothing.cpu_cores is None
    assert sampler.missing() == ["GPU figures are missing: none."]


def test_a_target_that_never_was_is_one_sentence() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    sampler = Sampler(gone.pid, NullGpu("none"), interval_s=0.05)
    sampler.start()
    start_s = time.monotonic()
    time.sleep(0.2)
    host, _gpu = sampler.window(start_s, time.monotonic())
    sampler.stop()
    assert host.cpu_cores is None
    assert host.rss_bytes is None
    assert any(f"process {gone.pid} missing" in sentence for sentence in sampler.missing())


class ScriptedGpu(NullGpu):
    """A GPU at the edge: answers what it is told, hangs or breaks on demand."""

    def __init__(self, hang_s: float = 0.0, broken: bool = False) -> None:
        super().__init__("scripted")
        self.hang_s, self.broken = hang_s, broken

    def read(self) -> Reading:
        time.sleep(self.hang_s)
        if self.broken:
            raise RuntimeError("out of order")
        return Reading(time_s=time.monotonic(), utilization=55.0)


def test_gpu_readings_end_up_in_the_window_and_the_series() -> None:
    sampler = Sampler(1, ScriptedGpu(), interval_s=0.02)
    sampler.start()
    start_s = time.monotonic()
    time.sleep(0.2)
    _host, gpu = sampler.window(start_s, time.monotonic())
    sampler.stop()
    assert gpu.utilization == 55.0
    assert set(sampler.series(start_s, time.monotonic()).gpu_utilization) == {55.0}


def test_the_series_holds_the_use_of_every_core_the_target_may_use() -> None:
    burner = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        core = min(os.sched_getaffinity(0))
        os.sched_setaffinity(burner.pid, {core})
        sampler = Sampler(burner.pid, NullGpu("none"), interval_s=0.1)
        sampler.start()
        start_s = time.monotonic()
        time.sleep(1.0)
        seen = sampler.series(start_s, time.monotonic())
        sampler.stop()
    finally:
        burner.kill()
        burner.wait()
    assert seen.cores == [core]
    assert sum(seen.core_busy[0]) / len(seen.core_busy[0]) > 50


def test_a_driver_that_hangs_or_breaks_holds_up_nobody() -> None:
    hanging = Sampler(1, ScriptedGpu(hang_s=1.5), patience_s=0.2)
    began_s = time.monotonic()
    hanging.start()
    hanging.window(began_s, time.monotonic())
    hanging.stop()
    assert time.monotonic() - began_s < 1.4
    assert any("stood still" in sentence for sentence in hanging.missing())
    broken = Sampler(1, ScriptedGpu(broken=True))
    broken.start()
    broken.stop()
    assert any("out of order" in sentence for sentence in broken.missing())


@pytest.mark.timing
def test_watching_costs_little(watch: Watch) -> None:
    workers = "for _ in range(8):\n    if not os.fork(): time.sleep(4); os._exit(0)\n"
    body = f"{workers}print('x', flush=True)\ntime.sleep(4)\n"
    target, sampler = watch(body, interval_s=0.2)
    target.go()
    target.line()
    before_s, began_s = time.process_time(), time.monotonic()
    time.sleep(2.0)
    share = (time.process_time() - before_s) / (time.monotonic() - began_s)
    sampler.stop()
    assert share < 0.06  # measured: 0.005; the budget is 0.02, the rest is for a noisy machine


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="this kernel does not count it")
def test_a_process_that_shares_its_cpu_is_seen_standing_in_line(watch: Watch, start: Start) -> None:
    cpu = min(os.sched_getaffinity(0))
    pin = f"os.sched_setaffinity(0, {{{cpu}}})\n"
    target, sampler = watch(f"{pin}burn(0.8)\nprint('a', flush=True)\nsys.stdin.readline()\n")
    rivals = [start(f"{pin}burn(5)\n") for _ in range(3)]
    for rival in rivals:
        rival.go()
    start_s = time.monotonic()
    target.go()
    target.line()
    beside, _gpu = sampler.window(start_s, time.monotonic())
    sampler.stop()
    assert beside.queued_share is not None
    assert beside.queued_share > 0.4  # one of four on one CPU: three quarters of its time in line
