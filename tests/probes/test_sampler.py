import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gputune.probes.gpu import NullGpu, Reading
from gputune.probes.sampler import Sampler

BUSY = "def burn(s):\n    end = time.process_time() + s\n    while time.process_time() < end: pass\n"
CPU = "def cpu(): return sum(os.times()[:4])\nbegan = cpu()\n"


class Target:
    """A real process that waits to be told to go on, line by line."""

    def __init__(self, body: str, new_session: bool = False) -> None:
        source = f"import os, signal, sys, time\n{BUSY}sys.stdin.readline()\n{body}"
        self.process = subprocess.Popen(
            [sys.executable, "-c", source],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            process_group=None if new_session else 0,
            start_new_session=new_session,
        )

    def go(self) -> None:
        assert self.process.stdin
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def line(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()


@pytest.fixture
def targets() -> Iterator[list[Target]]:
    started: list[Target] = []
    yield started
    for target in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(target.process.pid, signal.SIGKILL)
        target.process.communicate()


def watch(
    targets: list[Target], body: str, interval_s: float = 0.1, new_session: bool = False
) -> tuple[Target, Sampler]:
    targets.append(Target(body, new_session))
    sampler = Sampler(targets[0].process.pid, NullGpu("none"), interval_s=interval_s)
    sampler.start()
    return targets[0], sampler


def begin(target: Target) -> float:
    """Let the target go on; return a moment before it, far enough for a sample to lie between."""
    start_s = time.monotonic()
    time.sleep(0.15)
    target.go()
    return start_s


def cpu_seen(sampler: Sampler, start_s: float) -> float:
    end_s = time.monotonic()
    cores = sampler.window(start_s, end_s)[0].cpu_cores
    sampler.stop()
    assert cores is not None
    return cores * (end_s - start_s)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("burn(0.6)\n", id="itself"),
        pytest.param(
            "for _ in range(6):\n"
            "    pid = os.fork()\n"
            "    if not pid: burn(0.1); os._exit(0)\n"
            "    os.waitpid(pid, 0)\n",
            id="workers born and dead between samples",
        ),
        pytest.param(
            "pids = []\n"
            "for _ in range(3):\n"
            "    pid = os.fork()\n"
            "    if not pid: burn(0.25); os._exit(0)\n"
            "    pids.append(pid)\n"
            "for pid in pids: os.waitpid(pid, 0)\n",
            id="workers seen and then reaped",
        ),
        pytest.param(
            "pid = os.fork()\n"
            "if not pid:\n"
            "    inner = os.fork()\n"
            "    if not inner: burn(0.4); os._exit(0)\n"
            "    os.waitpid(inner, 0); burn(0.2); os._exit(0)\n"
            "os.waitpid(pid, 0)\n",
            id="workers of a fork server that dies",
        ),
        pytest.param(
            "import threading\n"
            "class T(threading.Thread):\n"
            "    def run(self): burn(0.6)\n"
            "ts = [T(), T()]\n"
            "[t.start() for t in ts]; [t.join() for t in ts]\n",
            id="threads",
        ),
    ],
)
def test_all_cpu_time_of_the_tree_is_counted_once(targets: list[Target], body: str) -> None:
    target, sampler = watch(targets, f"{CPU}{body}print(cpu() - began, flush=True)\nsys.stdin.readline()\n")
    start_s = begin(target)
    truth = float(target.line())
    assert truth > 0.5
    assert cpu_seen(sampler, start_s) == pytest.approx(truth, abs=0.12)


def test_a_churn_of_workers_under_hasty_sampling_is_counted_once(targets: list[Target]) -> None:
    body = (
        "alive = 0\n"
        "for _ in range(60):\n"
        "    if not os.fork(): burn(0.02); os._exit(0)\n"
        "    alive += 1\n"
        "    if alive == 3: os.wait(); alive -= 1\n"
        "while alive: os.wait(); alive -= 1\n"
    )
    program = f"{CPU}{body}print(cpu() - began, flush=True)\nsys.stdin.readline()\n"
    target, sampler = watch(targets, program, interval_s=0.004)
    start_s = begin(target)
    truth = float(target.line())
    assert truth > 1.0
    assert cpu_seen(sampler, start_s) == pytest.approx(truth, rel=0.15)


def test_workers_that_nobody_reaps_keep_their_cpu_time(targets: list[Target]) -> None:
    body = (
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        "pids = [os.fork() for _ in range(1)]\n"
        "if not pids[0]: burn(0.6); os._exit(0)\n"
        "time.sleep(0.1)\n"
        "while os.path.exists(f'/proc/{pids[0]}'): time.sleep(0.02)\n"
        "print('over', flush=True); sys.stdin.readline()\n"
    )
    target, sampler = watch(targets, body)
    start_s = begin(target)
    assert target.line() == "over"
    time.sleep(0.3)  # samples after the death must not lose what was seen before it
    seen = cpu_seen(sampler, start_s)
    assert 0.35 < seen < 0.8  # up to one interval at the end is unseen


def test_a_daemon_of_a_target_that_leads_its_session_is_still_its_own(targets: list[Target]) -> None:
    body = (
        "if not os.fork():\n"
        "    if not os.fork(): burn(0.6); print('done', flush=True); time.sleep(9)\n"
        "    os._exit(0)\n"
        "os.wait(); time.sleep(9)\n"
    )
    target, sampler = watch(targets, body, new_session=True)
    start_s = begin(target)
    assert target.line() == "done"
    assert cpu_seen(sampler, start_s) == pytest.approx(0.6, abs=0.12)


def test_reads_of_a_worker_that_died_are_in_the_sum(targets: list[Target], tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.write_bytes(b"x" * (4 << 20))
    body = (
        f"fd = os.open({str(file)!r}, os.O_RDONLY); os.fsync(fd)\n"
        "os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)\n"
        "if not os.fork():\n"
        "    while os.read(fd, 1 << 20): pass\n"
        "    print(open('/proc/self/io').read().split('read_bytes: ')[1].split()[0], flush=True)\n"
        "    os._exit(0)\n"
        "os.wait(); print('reaped', flush=True); sys.stdin.readline()\n"
    )
    target, sampler = watch(targets, body)
    start_s = begin(target)
    truth = int(target.line())
    if truth < 4 << 20:
        pytest.skip("the temporary folder is not on storage the kernel counts")
    assert target.line() == "reaped"
    host, _gpu = sampler.window(start_s, time.monotonic())
    sampler.stop()
    assert host.read_bytes == pytest.approx(truth, rel=0.05)


def test_a_window_holds_only_its_own_cpu_time(targets: list[Target]) -> None:
    target, sampler = watch(targets, "burn(0.8)\nprint('a', flush=True)\nsys.stdin.readline()\n")
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


def test_the_cpu_use_of_strangers_is_told_apart(targets: list[Target]) -> None:
    target, sampler = watch(targets, "time.sleep(5)\n")
    target.go()
    targets.append(Target("burn(0.8)\nprint('a', flush=True)\n"))
    time.sleep(0.3)
    start_s = time.monotonic()
    targets[1].go()
    targets[1].line()
    host, _gpu = sampler.window(start_s, time.monotonic())
    sampler.stop()
    assert host.cpu_cores is not None
    assert host.other_cpu_cores is not None
    assert host.cpu_cores < 0.1
    assert host.other_cpu_cores > 0.3


def test_memory_of_workers_is_in_the_sum(targets: list[Target]) -> None:
    body = (
        "if not os.fork():\n"
        "    block = bytearray(os.urandom(1)) * (64 << 20)\n"
        "    print('grown', flush=True); time.sleep(5); os._exit(0)\n"
        "time.sleep(5)\n"
    )
    target, sampler = watch(targets, body)
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


def test_a_target_that_vanishes_keeps_what_was_seen(targets: list[Target]) -> None:
    target, sampler = watch(targets, "burn(0.5)\nprint('x', flush=True)\nburn(9)\n")
    start_s = begin(target)
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
    assert set(sampler.series().gpu_utilization) == {55.0}


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
def test_watching_costs_little(targets: list[Target]) -> None:
    workers = "for _ in range(8):\n    if not os.fork(): time.sleep(4); os._exit(0)\n"
    body = f"{workers}print('x', flush=True)\ntime.sleep(4)\n"
    target, sampler = watch(targets, body, interval_s=0.2)
    target.go()
    target.line()
    before_s, began_s = time.process_time(), time.monotonic()
    time.sleep(2.0)
    share = (time.process_time() - before_s) / (time.monotonic() - began_s)
    sampler.stop()
    assert share < 0.06  # measured: 0.005; the budget is 0.02, the rest is for a noisy machine
