"""The command line as users meet it: in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from gputune.cli import build_parser, main
from gputune.commands import VERBS

TARGETS = Path(__file__).parents[1] / "targets"


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch) -> None:
    """The campaign lock lies in the cache folder; a campaign of the developer's must not disturb the tests."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


def gputune(*words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gputune", *map(str, words)], capture_output=True, text=True, timeout=120, cwd=cwd
    )


def test_help_imports_neither_torch_nor_optuna_nor_numpy(tmp_path):
    code = (
        "import sys\nfrom gputune.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "print([m for m in ('torch', 'optuna', 'numpy', 'scipy', 'rich') if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.stderr.strip() == "[]"
    assert "profile" in done.stdout


@pytest.mark.timing
def test_help_is_quick():
    code = "from gputune.cli import build_parser; build_parser()"
    reference = "import argparse, json, typing, dataclasses"

    def best(body: str) -> float:
        source = f"import time; t = time.perf_counter(); {body}; print(time.perf_counter() - t)"
        runs = [
            subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=60) for _ in range(5)
        ]
        return min(float(run.stdout) for run in runs)

    assert best(code) < 8 * best(reference)


@pytest.mark.parametrize("verb", [module for module, _ in VERBS])
def test_the_help_of_every_verb_has_an_example(verb, capsys):
    with pytest.raises(SystemExit):
        main([verb, "--help"])
    assert f"gputune {verb}" in capsys.readouterr().out


def test_the_first_word_that_is_not_ours_ends_our_options():
    arguments = build_parser().parse_args(["profile", "--seed", "3", "train.py", "--seed", "9", "--help"])
    assert arguments.seed == 3
    assert arguments.script == ["train.py", "--seed", "9", "--help"]
    arguments = build_parser().parse_args(["profile", "-m", "pkg.train", "-m", "x", "--budget", "1"])
    assert arguments.module == ["pkg.train", "-m", "x", "--budget", "1"]
    arguments = build_parser().parse_args(["profile", "--", "torchrun", "train.py"])
    assert arguments.script[-2:] == ["torchrun", "train.py"]


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["profile"], 2, "no script given"),
        (["profile", "nowhere.py"], 2, "nowhere.py: no such file"),
        (["profile", "--budget", "0", "x.py"], 2, "--budget 0: a budget is a number of seconds above 0"),
        (["profile", "--budget", "soon", "x.py"], 2, "invalid float value: 'soon'"),
        (["profile", "--fix", "num_worker=3", "x.py"], 2, "did you mean num_workers?"),
        (["profile", "--warmup", "-1", "x.py"], 2, "a number of batches is 0 or more"),
        (["profile", "--colour", "x.py"], 2, "unrecognized arguments"),
        (["tune", "x.py"], 2, "invalid choice: 'tune'"),
        (["run", TARGETS / "latency.py"], 2, "no run in results recommends settings"),
        (["run", "--config", "nowhere.json", TARGETS / "latency.py"], 2, "cannot read nowhere.json"),
        (["export"], 2, "no stored run in results"),
        (["report", "nothing"], 2, "no stored run"),
    ],
)
def test_bad_input_gets_one_clear_line_and_the_usage_status(tmp_path, words, status, message):
    done = gputune(*words, cwd=tmp_path)
    assert done.returncode == status, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir()), "a refused command leaves nothing behind"


def test_a_results_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    done = gputune("profile", "--results-dir", "file", TARGETS / "latency.py", cwd=tmp_path)
    assert done.returncode == 2
    assert "file" in done.stderr
    assert "--results-dir" in done.stderr


def test_two_campaigns_at_once_are_refused(tmp_path):
    words = [sys.executable, "-m", "gputune", "profile", "--no-search", str(TARGETS / "latency.py")]
    first = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        assert first.stderr is not None
        first.stderr.readline()
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            second = gputune("profile", "--no-search", TARGETS / "latency.py", cwd=tmp_path)
            if "another gputune campaign" in second.stderr:
                break
        assert second.returncode == 3
        assert str(first.pid) in second.stderr
    finally:
        first.terminate()
        first.communicate(timeout=60)
