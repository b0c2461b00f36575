"""``gputune run`` on real scripts: the same samples in the same order, and what was applied is said."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec

from gputune.probes import attach
from gputune.probes.agent.apply import ApplyConfig, LoaderConfig
from gputune.probes.settings import Settings
from gputune.probes.tensorflow.settings import PipelineSettings

TARGETS = Path(__file__).parent / "targets"
LOOP = ("loop.py", "--step-ms", "0", "--length", "96", "--epochs", "2", "--print-batches")


def ran(tmp_path: Path, script: str, *arguments: str, line: int = 0, settings: PipelineSettings | None = None):
    env = dict(os.environ)
    if settings is not None:
        loader = LoaderConfig(file=str(TARGETS / script), line=line, settings=Settings(tensorflow=settings))
        config = tmp_path / "config.json"
        config.write_bytes(msgspec.json.encode(ApplyConfig(loaders=[loader])))
        env = attach.environment(env, mode="apply", scope="self", config=str(config))
    command = [sys.executable, str(TARGETS / script), *arguments]
    return subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True)


def line_of(script: str, text: str) -> int:
    lines = (TARGETS / script).read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


def test_every_batch_is_the_same_in_the_same_order(tmp_path):
    plain = ran(tmp_path, *LOOP)
    wanted = PipelineSettings(map_parallelism=8, prefetch=2, private_threadpool_size=8)
    tuned = ran(tmp_path, *LOOP, line=line_of("loop.py", "data.batch(16)"), settings=wanted)
    assert tuned.stdout == plain.stdout
    assert plain.stdout.count("BATCH") == 12
    assert "applied to the dataset" in tuned.stderr
    assert "map_parallelism=8" in tuned.stderr


def test_a_dataset_of_another_line_is_left_alone_and_said_so(tmp_path):
    other = ran(tmp_path, *LOOP, line=1, settings=PipelineSettings(map_parallelism=8))
    assert "alone: no settings were recommended for this line" in other.stderr


def test_workers_of_a_py_dataset_are_set_at_construction(tmp_path):
    arguments = ("py_dataset.py", "--step-ms", "0", "--seconds", "1")
    plain = ran(tmp_path, *arguments)
    wanted = PipelineSettings(workers=4, use_multiprocessing=False, max_queue_size=10)
    tuned = ran(tmp_path, *arguments, line=line_of("py_dataset.py", "model.fit("), settings=wanted)
    rates = [float(run.stdout.split("RATE")[1]) for run in (plain, tuned)]
    assert rates[1] > 1.5 * rates[0]
    assert "applied to the dataset" in tuned.stderr
