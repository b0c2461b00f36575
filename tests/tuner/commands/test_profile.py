"""``gputune profile`` from the command line to the stored run, on real scripts in real processes."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

import msgspec
import psutil
import pytest

from gputune.record import Outcome, Run, Status, load

TARGETS = Path(__file__).parents[2] / "targets"


def only_run(shell) -> Run:
    folders = list((shell.cwd / "results").iterdir())
    assert len(folders) == 1
    return load(folders[0])


def own_copy(shell, name: str) -> Path:
    """A script of its own path, so that its processes can be told from those of other tests."""
    return Path(shutil.copy(TARGETS / name, shell.cwd / name))


@pytest.mark.timing
def test_a_starved_script_ends_with_a_proved_recommendation_that_run_applies(shell, none_left):
    script = own_copy(shell, "latency.py")
    done = shell.run("profile", "--budget", "45", script, "0.004", "0.008")
    assert done.returncode == 0, done.stderr
    run = only_run(shell)
    assert (run.status, run.outcome) == (Status.COMPLETE, Outcome.RECOMMENDED)
    recommendation, proof = run.recommendation, run.proof
    assert recommendation is not None
    assert proof is not None
    assert recommendation.ratio > 2
    assert recommendation.low > 1
    assert len(proof.pairs) >= 4
    assert recommendation.settings.num_workers >= 3
    assert "waits for data" in done.stderr.split("Cause")[0]
    assert "gputune export" in done.stderr
    none_left(str(script))

    exported = shell.run("export", "--format", "json", "-o", "best.json")
    assert exported.returncode == 0, exported.stderr
    script.write_text(script.read_text().replace("range(200_000)", "range(64)").replace("200_000", "64"))
    applied = shell.run("run", "--config", "best.json", script, "0.001", "0.001")
    assert applied.returncode == 0, applied.stderr
    assert f"num_workers 0 -> {recommendation.settings.num_workers}" in applied.stderr


@pytest.mark.timing
def test_a_healthy_script_has_nothing_to_gain_and_is_told_so_in_seconds(shell):
    began = time.monotonic()
    done = shell.run("profile", TARGETS / "inference.py")
    assert done.returncode == 0, done.stderr
    assert only_run(shell).outcome is Outcome.NOTHING_TO_GAIN
    assert time.monotonic() - began < 45
    assert "fine" in done.stderr


@pytest.mark.parametrize(
    ("how", "status", "words"),
    [
        ("raises-early", 4, ["the script failed with exit status 1", "KeyError: 'no such thing'"]),
        ("no-loader", 3, ["without constructing a DataLoader", "wrap the data in one"]),
        ("empty", 3, ["no loader ever yielded a batch"]),
        ("short", 3, ["the script ended"]),
        ("raises-in-loop", 4, ["ZeroDivisionError: the loop is broken"]),
    ],
)
def test_a_script_that_cannot_be_measured_is_reported_in_its_own_words(shell, how, status, words):
    done = shell.run("profile", "--budget", "10", TARGETS / "faulty.py", how)
    assert done.returncode == status, done.stderr
    for text in words:
        assert text in done.stderr
    assert "probes/agent" not in done.stderr
    assert only_run(shell).status is not Status.COMPLETE


def test_the_run_can_be_had_as_json_on_stdout(shell):
    done = shell.run("profile", "--no-search", "--quiet", "--json", "-", TARGETS / "latency.py")
    assert done.returncode == 0, done.stderr
    run = msgspec.json.decode(done.stdout, type=Run)
    assert run.baseline is not None
    assert run.ceiling is not None
    assert run.trials == []
    assert run.environment is not None
    assert run.environment.torch


@pytest.mark.campaign
@pytest.mark.heavy
def test_a_script_that_ends_by_itself_is_started_again_until_enough_is_known(shell):
    done = shell.run("profile", "--budget", "15", TARGETS / "loops.py", "sequential", "6000", "0")
    assert done.returncode == 0, done.stderr
    assert "starting it again" in done.stderr
    assert only_run(shell).status is Status.COMPLETE


@pytest.mark.campaign
@pytest.mark.heavy
def test_an_unsharded_iterable_keeps_its_samples_whatever_it_would_gain(shell):
    done = shell.run("profile", "--budget", "12", TARGETS / "iterable.py", "unsharded")
    assert done.returncode == 0, done.stderr
    run = only_run(shell)
    assert all(trial.settings.num_workers <= 1 for trial in run.trials)
    assert run.gates
    assert run.gates[0].allowed == [0, 1]


@pytest.mark.campaign
@pytest.mark.heavy
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_campaign_saves_and_shows_what_is_known(shell, none_left, number):
    script = own_copy(shell, "latency.py")
    child = shell.start("profile", script)
    _await_line(child, "measuring it with free data")
    os.kill(child.pid, number)
    _, rest = child.communicate(timeout=30)
    assert child.returncode == 130
    run = only_run(shell)
    assert run.status is Status.INTERRUPTED
    assert run.baseline is not None
    assert "samples/s" in rest
    none_left(str(script))


@pytest.mark.campaign
@pytest.mark.heavy
def test_a_killed_tuner_takes_the_script_with_it(shell, none_left):
    script = own_copy(shell, "latency.py")
    child = shell.start("profile", script)
    _await_line(child, "measuring it with free data")
    assert psutil.Process(child.pid).children(recursive=True)
    os.kill(child.pid, signal.SIGKILL)
    child.communicate(timeout=30)
    none_left(str(script))


@pytest.mark.campaign
@pytest.mark.heavy
def test_a_gpu_is_sampled_beside_the_bursts(shell, stub_library, tmp_path):
    state = tmp_path / "gpu"
    state.write_text("sample 37\ngpu 37\nused_mib 2048\npower_w 300\n")
    shell.env |= {"LD_LIBRARY_PATH": str(stub_library.parent), "GPUTUNE_FAKE_NVML": str(state)}
    done = shell.run("profile", "--no-search", "--device", "cuda:0", TARGETS / "latency.py")
    assert done.returncode == 0, done.stderr
    run = only_run(shell)
    assert run.baseline is not None
    assert run.baseline.gpu.utilization == pytest.approx(37)
    assert run.baseline.gpu.memory_used_bytes == 2048 << 20
    assert run.machine.gpu


@pytest.mark.campaign
@pytest.mark.heavy
def test_a_gpu_that_is_lost_in_the_middle_costs_its_figures_and_nothing_else(shell, stub_library, tmp_path):
    state = tmp_path / "gpu"
    lost = 15  # NVML_ERROR_GPU_IS_LOST
    state.write_text(f"sample 37\nerr_samples {lost} 5\nerr_memory {lost} 5\nerr_memory_v2 {lost} 5\n")
    shell.env |= {"LD_LIBRARY_PATH": str(stub_library.parent), "GPUTUNE_FAKE_NVML": str(state)}
    done = shell.run("profile", "--no-search", "--device", "cuda", TARGETS / "latency.py")
    assert done.returncode == 0, done.stderr
    run = only_run(shell)
    assert run.status is Status.COMPLETE
    assert any("missing from some point on" in sentence for sentence in run.missing)


def test_nothing_of_the_users_is_touched(shell):
    script = own_copy(shell, "two_loaders.py")
    checkpoint = shell.cwd / "model.pt"
    checkpoint.write_bytes(b"a month of training")
    before = checkpoint.stat()
    done = shell.run("profile", "--budget", "8", "--no-search", script, "model.pt")
    assert done.returncode == 0, done.stderr
    after = checkpoint.stat()
    assert checkpoint.read_bytes() == b"a month of training"
    assert (after.st_mtime_ns, after.st_mode, after.st_ino) == (before.st_mtime_ns, before.st_mode, before.st_ino)
    assert sorted(path.name for path in shell.cwd.iterdir()) == ["model.pt", "results", "two_loaders.py"]
    run = only_run(shell)
    assert run.confinement is not None
    assert run.confinement.mode != "none"
    assert any(entry.path.endswith("model.pt") for entry in run.written)


def _await_line(child, text: str, timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        line = child.stderr.readline()
        if text in line:
            return
        assert line, "the tuner ended"
    raise AssertionError(f"never said {text!r}")
