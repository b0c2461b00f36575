"""``gputune check`` end to end, in real processes on real scripts, and everything a user may get wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import check_factory as checks
import pytest

from gputune import baseline as baselines
from gputune import record

TARGETS = Path(__file__).parents[2] / "targets"
LATENCY = str(TARGETS / "latency.py")


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))  # a lock of its own: other tests measure as well
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)


def gputune(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gputune", "check", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=150, env={**os.environ, **env})


def store(**changes: float) -> str:
    run = checks.run(**changes)
    record.save(run, Path("results") / run.id)
    return run.id


# -- measuring -----------------------------------------------------------------------------------------------------


def test_a_starved_script_fails_where_ci_looks() -> None:
    summary = Path("summary.md").resolve()
    done = gputune("--quiet", "--budget", "6", "--junit", "junit.xml", "--github-summary",
                   "--require", "starvation < 5%, throughput >= 1", LATENCY, "0.01", "0.01",
                   GITHUB_STEP_SUMMARY=str(summary), GITHUB_WORKSPACE=str(TARGETS))  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stdout.startswith("fail         starvation < 5%")
    assert "::error file=latency.py,line=25," in done.stdout
    assert "gputune check: fail, 1 of 2 checks" in summary.read_text()
    suite = ElementTree.parse("junit.xml").find("testsuite")
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    stored = gputune("--require", "data_wait < 3%", "last")
    assert stored.returncode == 1, stored.stdout + stored.stderr


def test_a_baseline_is_saved_and_compared_with_and_a_regression_acknowledged() -> None:
    saved = gputune("--quiet", "--budget", "8", "--save-baseline", "remote", LATENCY, "0.0005", "0.03")
    assert saved.returncode == 0, saved.stdout + saved.stderr
    path = next(Path("results/baselines").glob("*/remote.json"))
    before = path.read_bytes()
    # The same command, but its step is six times as long by now.
    slow = Path("latency.py")
    slow.write_text(Path(LATENCY).read_text().replace("time.sleep(step)", "time.sleep(6 * step)"))
    done = gputune("--quiet", "--budget", "6", "--baseline", "remote", "latency.py", "0.0005", "0.03")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "max_regression = 5 %" in done.stdout
    assert path.read_bytes() == before
    again = gputune("--save-baseline", "remote", "--baseline", "remote", "--require", "throughput >= 1e9", "last")
    assert again.returncode == 1  # what fails its requirements is no baseline
    assert path.read_bytes() == before
    accepted = gputune("--acknowledge", "slower storage", "--baseline", "remote", "last")
    assert accepted.returncode == 0, accepted.stdout + accepted.stderr
    assert json.loads(path.read_text())["acknowledgements"][0]["reason"] == "slower storage"


def test_a_loader_is_gated_without_a_script() -> None:
    Path("pkg").mkdir()
    Path("pkg/data.py").write_text(
        "import time, torch\nfrom torch.utils.data import DataLoader, Dataset\n"
        "class Slow(Dataset):\n"
        "    def __len__(self): return 100_000\n"
        "    def __getitem__(self, index):\n        time.sleep(0.002)\n        return torch.zeros(8)\n"
        "def make_loader(): return DataLoader(Slow(), batch_size=8)\n"
    )
    words = ("--quiet", "--budget", "6", "--loader", "pkg.data:make_loader", "--step-ms", "20")
    done = gputune(*words, "--require", "starvation < 5%")
    assert done.returncode == 1, done.stdout + done.stderr
    missing = gputune("--quiet", "--loader", "pkg.data:no_such", "--step-ms", "20", "--require", "starvation < 5%")
    assert missing.returncode == 4
    assert "no_such" in missing.stderr


def test_two_revisions_are_compared_side_by_side() -> None:
    def git(*words: str) -> None:
        subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@t", *words], check=True, capture_output=True)

    source = Path(LATENCY).read_text()
    git("init", "-q")
    Path("train.py").write_text(source)
    git("add", "train.py")
    git("commit", "-qm", "fast")
    Path("train.py").write_text(source.replace("time.sleep(step)", "time.sleep(6 * step)"))
    done = gputune("--quiet", "--budget", "8", "--against", "HEAD", "train.py", "0.0005", "0.03")
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stdout.startswith("fail         max_regression = 5 %")
    trees = subprocess.run(["git", "worktree", "list"], capture_output=True, text=True, check=True).stdout
    assert len(trees.splitlines()) == 1
    unknown = gputune("--against", "no-such-branch", "train.py")
    assert unknown.returncode == 2
    assert "no such revision" in unknown.stderr


def test_a_script_that_fails_leaves_the_baseline_alone_and_says_so_in_junit() -> None:
    Path("bad.py").write_text("raise FileNotFoundError('data/train')\n")
    made = baselines.from_run(checks.run(), "bad")
    path = Path("results/baselines/here/bad.json")
    baselines.save(path, made)
    before = path.read_bytes()
    done = gputune("--quiet", "--junit", "j.xml", "--save-baseline", "bad", "bad.py")
    assert done.returncode == 4, done.stderr
    assert "FileNotFoundError: data/train" in done.stderr
    assert path.read_bytes() == before
    assert ElementTree.parse("j.xml").find("testsuite/testcase/error") is not None


# -- stored runs and bad input -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "policy", "code"),
    [
        ("starvation < 25%", (), 0), ("starvation < 5%", (), 1), ("gpu_util >= 80%", (), 3),
        ("gpu_util >= 80%", ("--inconclusive", "pass"), 0), ("gpu_util >= 80%", ("--inconclusive", "fail"), 1),
    ],
)  # fmt: skip
def test_a_stored_run_is_gated_without_running_anything(text: str, policy: tuple[str, ...], code: int) -> None:
    done = gputune(*policy, "--require", text, store())
    assert done.returncode == code, done.stdout + done.stderr
    assert done.stdout.isascii()
    assert len(done.stdout.splitlines()) == 2


def test_the_table_in_pyproject_gives_the_defaults() -> None:
    Path("pyproject.toml").write_text('[tool.gputune.check]\nrequire = ["starvation < 5%"]\n')
    assert gputune(store()).returncode == 1
    assert gputune("--require", "starvation < 25%", "last").returncode == 0
    Path("pyproject.toml").write_text("[tool.gputune.check]\nrequired = []\n")
    done = gputune("last")
    assert done.returncode == 2
    assert "did you mean require?" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("last",), 3, "nothing to check"),
        (("--require", "starvaton < 5%", "last"), 2, "did you mean starvation?"),
        (("--require", "step_p95 <= 5%", "last"), 2, "step_p95 is a duration"),
        (("--baseline", "none", "last"), 3, "there is no baseline 'none'"),
        (("--baseline", "torn.json", "last"), 2, "torn.json is no gputune baseline"),
        (("--baseline", "newer.json", "last"), 2, "upgrade gputune"),
        (("--require", "starvation < 5%", "1999"), 2, "no stored run begins with '1999'"),
        (("last", "--require", "starvation < 5%"), 2, "put options before the run"),
        (("--require", "starvation < 5%"), 2, "no script given"),
        (("--require", "starvation < 5%", "none.py"), 2, "none.py: no such file"),
        (("--budget", "-1", "last"), 2, "above 0"),
        (("--save-baseline", "../x", "last"), 2, "is no name for a baseline"),
        (("--acknowledge", " ", "last"), 2, "needs a reason"),
        (("--acknowledge", "why", "--require", "starvation < 5%", "last"), 2, "no baseline to regress from"),
        (("--loader", "pkg.data", "--step-ms", "4"), 2, "module:name"),
        (("--loader", "pkg:make"), 2, "--step-ms 40"),
        (("--step-ms", "4", "last"), 2, "--step-ms is for --loader"),
        (("--junit", "no/such/j.xml", "last"), 2, "there is no folder no/such"),
        (("--against", "HEAD", "last"), 2, "need a script to run"),
    ],
)  # fmt: skip
def test_bad_input_is_one_clear_line_and_the_right_code(words: tuple[str, ...], code: int, said: str) -> None:
    store()
    Path("torn.json").write_text("{")
    Path("newer.json").write_text('{"schema_version": 99}')
    done = gputune(*words)
    assert done.returncode == code, done.stdout + done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 2
    assert done.stdout == ""


def test_help_shows_examples_and_imports_nothing_heavy() -> None:
    done = gputune("--help", COLUMNS="79")
    assert done.returncode == 0
    assert max(map(len, done.stdout.splitlines())) <= 79
    assert done.stdout.count("  gputune check --") == 2
    code = (
        "import argparse, sys\nfrom gputune.commands.check import Check\nCheck().configure(argparse.ArgumentParser())\n"
        "print([name for name in ('torch', 'optuna', 'rich', 'numpy', 'yaml') if name in sys.modules])"
    )
    light = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert light.stdout.strip() == "[]"
