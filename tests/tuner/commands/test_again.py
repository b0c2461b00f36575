"""``gputune profile`` of what was profiled before: shown again, continued, or measured anew; with real processes."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from gputune.record import Run, Status, load

TARGETS = Path(__file__).parents[2] / "targets"
LIMIT_S = 90

pytestmark = pytest.mark.heavy


def stored(shell) -> list[Run]:
    return [load(folder) for folder in sorted((shell.cwd / "results").iterdir())]


def killed_when(shell, number: int, words: str, *command: object) -> Run:
    """Run until a line with these words, then send a signal; return what was kept."""
    child = shell.start(*command)
    began = time.monotonic()
    for line in child.stderr:
        if words in line:
            break
        assert time.monotonic() - began < LIMIT_S, f"never said {words!r}"
    os.kill(child.pid, number)
    child.communicate(timeout=LIMIT_S)
    (run,) = stored(shell)
    return run


@pytest.fixture
def script(shell) -> Path:
    return Path(shutil.copy(TARGETS / "latency.py", shell.cwd / "latency.py"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_campaign_that_was_ended_in_its_search_goes_on_and_then_holds(shell, script, number):
    command = ("profile", "--budget", "45", script, "0.004", "0.008")
    before = killed_when(shell, number, "proving the winner", *command)
    assert before.status is Status.INTERRUPTED
    assert before.trials

    done = shell.run("profile", "--resume", *command[1:])
    assert done.returncode == 0, done.stderr
    (run,) = stored(shell)
    assert (run.id, run.status) == (before.id, Status.COMPLETE)
    assert run.baseline == before.baseline
    assert run.trials[: len(before.trials)] == before.trials
    assert "measuring the script as it is" not in done.stderr
    assert run.recommendation is not None

    began = time.monotonic()
    again = shell.run(*command)
    assert again.returncode == 0, again.stderr
    assert "nothing has changed since run" in again.stderr
    assert time.monotonic() - began < 20
    assert len(stored(shell)) == 1

    script.write_text(script.read_text() + "# changed\n")
    resumed = shell.run("profile", "--resume", *command[1:])
    assert resumed.returncode == 2
    assert "nothing to continue" in " ".join(resumed.stderr.split())
    child = shell.start(*command)
    for line in child.stderr:
        if "measuring the script as it is" in line:
            break
    os.kill(child.pid, signal.SIGINT)
    child.communicate(timeout=LIMIT_S)
    assert len(stored(shell)) == 2, "a changed script is measured again"


def test_fresh_measures_what_has_not_changed_and_other_options_do_as_well(shell, script):
    command = ("profile", "--no-search", "--quiet", script)
    for _ in range(2):
        done = shell.run(*command)
        assert done.returncode == 0, done.stderr
    assert len(stored(shell)) == 1
    assert shell.run("profile", "--fresh", *command[1:]).returncode == 0
    assert len(stored(shell)) == 2
    assert shell.run("profile", "--warmup", "2", *command[1:]).returncode == 0
    assert len(stored(shell)) == 3


def test_two_profiles_share_a_study_in_a_database(shell, script):
    url = f"sqlite:///{shell.cwd / 'shared.db'}"
    command = ("profile", "--fresh", "--budget", "30", "--storage", url, script, "0.004", "0.008")
    for _ in range(2):
        done = shell.run(*command)
        assert done.returncode == 0, done.stderr
    first, second = stored(shell)
    assert not any(trial.host for trial in first.trials)
    assert [trial.settings for trial in second.trials if trial.host] == [trial.settings for trial in first.trials]
    assert str(shell.cwd) not in str(second.options), "an address may hold a password"
