"""What happens to workers under trial settings is a failed trial with its reason; the campaign goes on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gputune.record import Outcome, Status

TRY_TWO_WORKERS = ("--set", "num_workers=0,2")
LIMIT_BYTES = 1200 << 20


def assert_trial_failed(scene, reason: str) -> None:
    run = scene.run()
    assert run.status is Status.COMPLETE
    assert run.baseline is not None
    failed = [trial for trial in run.trials if trial.infeasible is not None]
    assert failed, [str(trial) for trial in run.trials]
    assert reason in failed[0].infeasible.reason
    assert run.outcome is not Outcome.RECOMMENDED
    assert run.recommendation is None


@pytest.mark.parametrize(
    ("how", "fault", "words"),
    [
        ("worker-killed", "worker killed by SIGKILL", "a worker was killed by SIGKILL"),
        ("worker-hangs", "dataset that hangs in a worker", "no batch before the deadline"),
        ("worker-deadlock", "deadlock on a lock in a worker", "no batch before the deadline"),
        ("worker-shared-file", "wrong bytes: a file shared between forked workers", "vetoed: the samples change"),
        ("worker-unpicklable", "result that cannot be pickled", "no batch before the deadline"),
    ],
)
def test_a_fault_in_a_worker_is_a_failed_trial(scene, how, fault, words):
    assert scene.profile(how, *TRY_TWO_WORKERS) == 0, scene.err
    assert_trial_failed(scene, words)
    scene.survived(fault, words)


@pytest.mark.parametrize(
    ("how", "fault", "words"),
    [
        ("worker-shared-memory", "/dev/shm full: torch cannot send a batch", "no shared memory left"),
        ("worker-shared-memory-bus", "/dev/shm full: SIGBUS in a worker", "SIGBUS (is /dev/shm full?)"),
    ],
)
def test_a_full_shared_memory_is_a_failed_trial(scene, private_mounts, how, fault, words):
    wrap = private_mounts("mount -t tmpfs -o size=24m none /dev/shm")
    assert scene.profile(how, *TRY_TWO_WORKERS, wrap=wrap) == 0, scene.err
    assert_trial_failed(scene, words)
    scene.survived(fault, words)


@pytest.fixture
def limited_group() -> Iterator[list[str]]:
    """A prefix that runs a command in a control group with little memory, or else under a limit of its own."""
    group = _new_group()
    if group is None:
        yield ["prlimit", f"--data={LIMIT_BYTES}"]
        return
    yield ["sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh"]
    group.rmdir()  # fails while a process is in it


def _new_group() -> Path | None:
    """Make a control group with a memory limit, of either version; ``None`` where that is not allowed."""
    for base, limit in (("/sys/fs/cgroup", "memory.max"), ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")):
        group = Path(base, f"gputune-fault-{os.getpid()}")
        try:
            group.mkdir()
        except OSError:
            continue  # not mounted, or not ours to change
        if (group / limit).exists():
            (group / limit).write_text(str(LIMIT_BYTES))
            return group
        group.rmdir()  # the memory controller is not delegated here
    return None


def test_a_worker_ended_by_the_out_of_memory_killer_is_a_failed_trial(scene, limited_group):
    assert scene.profile("worker-out-of-memory", *TRY_TWO_WORKERS, wrap=limited_group) == 0, scene.err
    words = "out of memory?" if limited_group[0] == "sh" else "MemoryError"
    assert_trial_failed(scene, words)
    scene.survived("worker out of memory" + (" (killed)" if limited_group[0] == "sh" else " (refused)"), words)
