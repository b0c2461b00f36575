"""A clock that jumps, a results disk that is full, and a second campaign."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from gputune.record import Outcome, Status

DAY_S = 86_400


@pytest.mark.parametrize(("step_s", "fault"), [(-DAY_S, "clock set back by a day"), (DAY_S, "clock put on by a day")])
def test_a_step_of_the_wall_clock_changes_no_figure(scene, shim, step_s, fault):
    stepped = scene.folder / "stepped"
    env = {"LD_PRELOAD": str(shim), "SHIM_STEP_FILE": str(stepped), "SHIM_STEP_S": str(step_s)}
    scene.start("nothing", "--set", "num_workers=0,2", env=env)
    scene.await_text("measuring it with free data")
    stepped.touch()
    assert scene.ended() == 0, scene.err
    run = scene.run()
    assert (run.status, run.outcome) == (Status.COMPLETE, Outcome.RECOMMENDED)
    assert run.recommendation is not None
    assert 1.2 < run.recommendation.ratio < 3.0
    assert all(0 <= seconds < 100 for seconds in run.phases_s.values())
    assert all(0 < burst.end_s - burst.start_s < 60 for burst in (run.baseline, run.ceiling, run.diagnosis) if burst)
    scene.survived(fault, "Fix:")


def test_a_full_results_disk_costs_the_file_and_not_the_report(scene, private_mounts):
    """The script's own log fills the disk of a few kilobytes; what was measured goes to the terminal."""
    scene.results.mkdir()
    wrap = private_mounts(f"mount -t tmpfs -o size=32k none {scene.results}")
    assert scene.profile("prints", "--set", "num_workers=0,2", "--json", "-", wrap=wrap) == 2, scene.err
    run = json.loads((scene.folder / "out").read_bytes())
    assert run["status"] == "complete"
    assert run["trials"]
    assert "would run" in scene.err
    scene.survived("results disk full", "No space left on device")


def test_a_second_campaign_is_refused_because_they_would_measure_each_other(scene):
    scene.start("nothing", "--no-search")
    scene.await_text("measuring the script as it is")
    second = subprocess.run(
        [sys.executable, "-m", "gputune", "profile", "--results-dir", scene.results, "train.py"],
        cwd=scene.tree, env=scene.env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert second.returncode == 3
    assert f"process {scene.tuner.pid}" in second.stderr
    assert "measure each other" in second.stderr
    assert scene.ended() == 0
    with open(scene.folder / "err", "a") as file:
        file.write(second.stderr)
    scene.survived("two campaigns at once", "another gputune campaign")
