"""What goes wrong in a trial is undone inside next(); what goes wrong in the user's code is the user's."""

from __future__ import annotations

import psutil
import pytest

from gputune.probes.protocol import Length
from gputune.probes.target import TargetGone, TargetHangs


def seen(text: str) -> list[int]:
    line = next(line for line in text.splitlines() if line.startswith("SEEN "))
    return [int(part) for part in line.removeprefix("SEEN ").split(",")]


def how_it_ended(conduct, how: str, **settings) -> TargetGone:
    """Measure a faulty script until it is gone."""
    try:
        conducted = conduct("faulty.py", how)
        while True:
            conducted._measure(False, 10.0, Length(), **settings)
    except TargetGone as gone:
        return gone


@pytest.mark.parametrize(
    ("workers", "reason"),
    [
        (2, "SIGKILL (out of memory?)"),
        (3, "deadline"),
        (4, "does not survive fork"),
        (5, "exited unexpectedly"),
    ],
)
def test_a_trial_that_kills_hangs_or_raises_in_a_worker_is_undone_and_no_sample_is_lost(conduct, workers, reason):
    conducted = conduct("fragile.py")
    conducted.burst()
    failure = conducted.failure(num_workers=workers, deadline_s=2.0)
    assert reason in failure.reason
    conducted.burst(num_workers=1)
    assert seen(conducted.finish().tail) == list(range(2400))


@pytest.mark.parametrize(
    ("how", "status", "last_line"),
    [
        ("raises-early", 1, "KeyError: 'no such thing'"),
        ("raises-in-loop", 1, "ZeroDivisionError: the loop is broken"),
        ("raises-in-getitem", 1, "ValueError: sample 400 is broken"),
        ("exit-status", 7, ""),
    ],
)
def test_the_users_own_error_ends_the_run_with_the_users_own_traceback_and_status(
    conduct, start, how, status, last_line
):
    gone = how_it_ended(conduct, how)
    assert gone.status == status
    assert gone.tail.strip().endswith(last_line)
    assert "gputune" not in gone.tail
    assert "probes/agent" not in gone.tail


def test_the_users_error_surfaces_during_a_trial_too(conduct):
    gone = how_it_ended(conduct, "raises-in-getitem", num_workers=2)
    assert gone.tail.strip().endswith("ValueError: sample 400 is broken")


@pytest.mark.parametrize("how", ["no-loader", "empty"])
def test_a_script_without_batches_ends_with_a_goodbye_that_says_what_there_was(start, how):
    with pytest.raises(TargetGone) as caught:
        start("faulty.py", how).hello(60)
    assert caught.value.status == 0
    loaders = caught.value.goodbye.loaders if caught.value.goodbye else []
    assert sum(loader.batches for loader in loaders) == 0
    assert bool(loaders) == (how == "empty")


def test_a_script_that_hangs_is_given_up_and_leaves_no_process(start):
    target = start("faulty.py", "hangs")
    with pytest.raises(TargetHangs):
        target.hello(8)
    pid = target.pid
    target.stop()
    assert not psutil.pid_exists(pid)


def test_stopping_a_target_ends_its_workers(conduct):
    conducted = conduct("latency.py", 0.002, 0.005, 0)
    conducted.burst(num_workers=3)
    family = psutil.Process(conducted.target.pid).children(recursive=True)
    assert len(family) == 3
    conducted.target.stop()
    assert not any(process.is_running() for process in family)
