import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Watch = Callable[..., tuple[Any, Any]]
CPU = "def cpu(): return sum(os.times()[:4])\nbegan = cpu()\n"


def cpu_seen(sampler: Any, start_s: float) -> float:
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
            "for _ in range(6):\n    pid = os.fork()\n    if not pid: burn(0.1); os._exit(0)\n    os.waitpid(pid, 0)\n",
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
def test_all_cpu_time_of_the_tree_is_counted_once(watch: Watch, body: str) -> None:
    target, sampler = watch(f"{CPU}{body}print(cpu() - began, flush=True)\nsys.stdin.readline()\n")
    start_s = target.begin()
    truth = float(target.line())
    assert truth > 0.5
    assert cpu_seen(sampler, start_s) == pytest.approx(truth, abs=0.12)


def test_a_churn_of_workers_under_hasty_sampling_is_counted_once(watch: Watch) -> None:
    body = (
        "alive = 0\n"
        "for _ in range(60):\n"
        "    if not os.fork(): burn(0.02); os._exit(0)\n"
        "    alive += 1\n"
        "    if alive == 3: os.wait(); alive -= 1\n"
        "while alive: os.wait(); alive -= 1\n"
    )
    program = f"{CPU}{body}print(cpu() - began, flush=True)\nsys.stdin.readline()\n"
    target, sampler = watch(program, interval_s=0.004)
    start_s = target.begin()
    truth = float(target.line())
    assert truth > 1.0
    assert cpu_seen(sampler, start_s) == pytest.approx(truth, rel=0.15)


def test_workers_that_nobody_reaps_keep_their_cpu_time(watch: Watch) -> None:
    body = (
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        "pids = [os.fork() for _ in range(1)]\n"
        "if not pids[0]: burn(0.6); os._exit(0)\n"
        "time.sleep(0.1)\n"
        "while os.path.exists(f'/proc/{pids[0]}'): time.sleep(0.02)\n"
        "print('over', flush=True); sys.stdin.readline()\n"
    )
    target, sampler = watch(body)
    start_s = target.begin()
    assert target.line() == "over"
    time.sleep(0.3)  # samples after the death must not lose what was seen before it
    seen = cpu_seen(sampler, start_s)
    assert 0.35 < seen < 0.8  # up to one interval at the end is unseen


def test_a_daemon_of_a_target_that_leads_its_session_is_still_its_own(watch: Watch) -> None:
    body = (
        "if not os.fork():\n"
        "    if not os.fork(): burn(0.6); print('done', flush=True); time.sleep(9)\n"
        "    os._exit(0)\n"
        "os.wait(); time.sleep(9)\n"
    )
    target, sampler = watch(body, new_session=True)
    start_s = target.begin()
    assert target.line() == "done"
    assert cpu_seen(sampler, start_s) == pytest.approx(0.6, abs=0.12)


def test_reads_of_a_worker_that_died_are_in_the_sum(watch: Watch, tmp_path: Path) -> None:
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
    target, sampler = watch(body)
    start_s = target.begin()
    truth = int(target.line())
    if truth < 4 << 20:
        pytest.skip("the temporary folder is not on storage the kernel counts")
    assert target.line() == "reaped"
    host, _gpu = sampler.window(start_s, time.monotonic())
    sampler.stop()
    assert host.read_bytes == pytest.approx(truth, rel=0.05)
