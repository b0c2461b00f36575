"""By whatever door a program is started, it sees what it sees under plain Python."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gputune.probes import attach
from gputune.probes.sandbox import scratch, trackers
from gputune.probes.target import Target, TargetGone

DOORS = Path(__file__).parent / "doors"
DUMP = str(DOORS / "dump.py")
PROTECTION = {"TMPDIR", "TORCHINDUCTOR_CACHE_DIR", scratch.MARK} | set(trackers.offline_environment({})[0])
# Torch itself derives its cache folder from TMPDIR.
LAUNCHED = {"PYTHONPATH", attach.MODE, attach.SCOPE, attach.CHANNEL, attach.CONFIG}
"""Documented: what a launcher's children need to be found by."""
ELASTIC = {"MASTER_PORT", "TORCHELASTIC_RUN_ID", "TORCHELASTIC_ERROR_FILE"}
"""What torchrun draws anew at each start."""


class Outcome:
    """What a program printed, in three parts."""

    def __init__(self, status: int | None, text: str) -> None:
        self.status = status
        line = next((line for line in text.splitlines() if line.startswith("DUMP ")), None)
        assert line is not None, text
        self.seen: dict[str, Any] = json.loads(line.removeprefix("DUMP "))
        self.environment: dict[str, str] = self.seen.pop("environment")
        rest = text.replace(line + "\n", "").splitlines()
        self.rest = [line for line in rest if not line.startswith("gputune: ")]

    def differing_names(self, other: Outcome) -> set[str]:
        """Return the environment variables that are not the same."""
        names = self.environment.keys() | other.environment.keys()
        return {name for name in names if self.environment.get(name) != other.environment.get(name)}


@pytest.fixture(autouse=True)
def user_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the user a PYTHONPATH of their own, with a package and a sitecustomize in it."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text("import sys\nsys.user_site_ran = __file__\n")
    entries = [str(site), str(DOORS), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(entries))
    monkeypatch.setenv("COLUMNS", "93")


def plain(command: list[str], cwd: Path, env: dict[str, str] | None = None) -> Outcome:
    env = dict(os.environ) if env is None else env
    done = subprocess.run(
        command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, check=False
    )
    return Outcome(done.returncode, done.stdout)


def applied(command: list[str], cwd: Path, scope: str) -> Outcome:
    config = cwd / "config.json"
    config.write_text('{"loaders": []}')
    return plain(command, cwd, attach.environment(os.environ, mode="apply", scope=scope, config=str(config)))


def probed(command: list[str], cwd: Path, scope: str) -> Outcome:
    target = Target(command, cwd=cwd, scope=scope, log=cwd.parent / "log")
    try:
        with pytest.raises(TargetGone) as gone:
            target.hello(120)
    finally:
        target.stop()
    return Outcome(gone.value.status, (cwd.parent / "log").read_text())


def doors(folder: Path, end: str) -> dict[str, list[str]]:
    """Return the commands by which the dump can be started, and write the files they need."""
    shell, console = folder / "train.sh", folder / "train"
    shell.write_text(f'#!/bin/sh\ncd "$(dirname "$0")"\n{sys.executable} -u {DUMP} "$@"\nexit $?\n')
    console.write_text(f"#!{sys.executable}\nimport sys\nfrom pack import dump\nsys.exit(0)\n")
    for file in (shell, console):
        file.chmod(0o755)
    return {
        "script": [sys.executable, DUMP, end, "torch", "--with a blank"],
        "module": [sys.executable, "-m", "pack.dump", end, "torch"],
        "without torch": [sys.executable, DUMP, end],
        "options": [sys.executable, "-X", "dev", "-W", "ignore", DUMP, end, "torch"],
        "shell": [str(shell), end, "torch"],
        "console": [str(console), end, "torch"],
    }


OWN = ("script", "module", "without torch")


@pytest.fixture
def cwd(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("door", ["script", "module", "without torch", "options", "shell", "console"])
def test_a_program_sees_what_it_sees_under_plain_python(cwd, door):
    command = doors(cwd, "exit")[door]
    scope = "self" if door in OWN else "tree"
    expected = plain(command, cwd)
    assert expected.seen["user_site_ran"]
    additions = set() if scope == "self" else LAUNCHED
    for outcome, allowed in (
        (applied(command, cwd, scope), additions),
        (probed(command, cwd, scope), additions | PROTECTION),
    ):
        assert outcome.seen == expected.seen
        assert outcome.differing_names(expected) <= allowed
        assert (outcome.status, outcome.rest) == (7, expected.rest)


@pytest.mark.parametrize("door", ["script", "module", "options"])
def test_a_traceback_and_its_status_are_the_users(cwd, door):
    command = doors(cwd, "raise")[door]
    scope = "self" if door in OWN else "tree"
    expected = plain(command, cwd)
    assert "the user's own" in expected.rest[-1]
    for outcome in (applied(command, cwd, scope), probed(command, cwd, scope)):
        assert (outcome.status, outcome.rest) == (1, expected.rest)


def test_a_rank_of_torchrun_sees_what_it_sees_without_us(cwd):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "1", DUMP, "ok"]
    expected, outcome = plain([*command, "torch"], cwd), probed([*command, "torch"], cwd, "tree")
    assert outcome.seen == expected.seen
    assert outcome.differing_names(expected) <= LAUNCHED | PROTECTION | ELASTIC
    assert outcome.status == expected.status == 0


def test_without_a_sitecustomize_of_the_user_none_is_left_behind(cwd, monkeypatch):
    command = doors(cwd, "ok")["script"]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(os.environ["PYTHONPATH"].split(os.pathsep)[1:]))
    expected = plain(command, cwd)
    assert expected.seen["user_site_ran"] is None
    assert applied(command, cwd, "self").seen == expected.seen


def test_an_error_in_the_users_sitecustomize_is_reported_as_ever_and_we_attach_all_the_same(cwd, tmp_path):
    (tmp_path / "site" / "sitecustomize.py").write_text("raise RuntimeError('broken')\n")
    command = doors(cwd, "ok")["script"]
    expected, outcome = plain(command, cwd), applied(command, cwd, "self")
    assert any("RuntimeError: broken" in line for line in expected.rest)
    assert (outcome.seen, outcome.rest) == (expected.seen, expected.rest)
