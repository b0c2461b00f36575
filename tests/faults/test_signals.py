"""Ctrl-C and a polite kill end a campaign in any phase with what is known; SIGKILL leaves it on the disk."""

from __future__ import annotations

import re
import signal
import subprocess
import sys

import pytest

from gputune.record import Status

TRY_TWO_WORKERS = ("--set", "num_workers=0,2")
PHASES = {
    "start": "starting the script",
    "baseline": "measuring the script as it is",
    "ceiling": "measuring it with free data",
    "diagnosis": "sampling what runs",
    "search": "trying settings",
    "shrink": r"num_workers=2 .*samples/s",
    "proof": "pair 1",
}


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_a_campaign_that_is_interrupted_saves_and_shows_what_is_known(scene, number, phase, request):
    scene.start("nothing", *TRY_TWO_WORKERS)
    scene.await_true(lambda: re.search(PHASES[phase], scene.err) is not None, f"no {phase}")
    scene.send(number)
    assert scene.ended(30) == 130, scene.err
    run = scene.run()
    assert run.status is Status.INTERRUPTED
    assert (run.baseline is not None) == (phase not in ("start", "baseline"))
    assert bool(run.trials) == (phase in ("shrink", "proof"))
    scene.survived(f"{'Ctrl-C' if number == signal.SIGINT else 'SIGTERM'} in phase {phase}", "interrupted")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_a_signal_in_the_moment_of_saving_takes_effect_after_it(scene, shim, number):
    """Several, in fact: nobody knows after the first whether it was heard."""
    slow = {"LD_PRELOAD": str(shim), "SHIM_FSYNC_S": "1"}
    scene.start("nothing", "--no-search", env=slow)
    scene.await_text("sampling what runs")  # the last phase; what is written from now on is the whole
    files = {file.stat().st_ino for file in scene.results.glob("*/.run.json-*")}
    scene.await_true(
        lambda: bool({file.stat().st_ino for file in scene.results.glob("*/.run.json-*")} - files), "never saved"
    )
    for _ in range(3):
        scene.send(number)
    assert scene.ended(30) == 130, scene.err
    assert scene.run().status is Status.COMPLETE
    assert scene.run().diagnosis is not None
    scene.survived(f"{'Ctrl-C' if number == signal.SIGINT else 'SIGTERM'} while saving", "interrupted")


@pytest.mark.parametrize("phase", ["start", "diagnosis", "search"])
def test_a_killed_tuner_leaves_what_it_knew_on_the_disk_and_nothing_else(scene, phase):
    scene.start("nothing", *TRY_TWO_WORKERS)
    scene.await_text(PHASES[phase])
    if phase == "start":
        scene.await_text("your files are protected")
    scene.send(signal.SIGKILL)
    assert scene.ended(30) == -signal.SIGKILL
    run = scene.run()
    assert run.status is Status.INTERRUPTED
    assert (run.baseline is not None) == (phase != "start")
    shown = subprocess.run(
        [sys.executable, "-m", "gputune", "report", "last", "--results-dir", scene.results],
        cwd=scene.tree, env=scene.env, capture_output=True, text=True, check=True,
    )  # fmt: skip
    (scene.folder / "err").write_text(" ".join(shown.stdout.split()))
    words = "Nothing was measured" if phase == "start" else "would run"
    scene.survived(f"SIGKILL of the tuner in phase {phase} (gputune report)", words)
