"""Real ranks on gloo: they are measured together, swapped before the same batch, and none waits for ever."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import psutil
import pytest
from conducting import Conducted

from gputune.probes import attach
from gputune.probes.agent.apply import ApplyConfig, LoaderConfig
from gputune.probes.settings import Settings
from gputune.probes.target import Target

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(400)]
TARGET = str(Path(__file__).parents[2] / "targets" / "ranks.py")
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", TARGET, "launched"]
SPAWNED = [sys.executable, TARGET, "spawned"]


@pytest.fixture
def conduct(tmp_path: Path) -> Iterator[Callable[..., Conducted]]:
    targets: list[Target] = []

    def run(command: list[str], *arguments: str) -> Conducted:
        scope = "self" if command is SPAWNED else "tree"
        targets.append(Target([*command, *arguments], cwd=tmp_path, scope=scope, log=tmp_path / "log"))
        return Conducted(targets[-1])

    yield run
    for target in targets:
        target.stop()


def seen(text: str) -> dict[int, tuple[str, list[tuple[int, int]]]]:
    """Return what each rank saw (count and checksum), and at which batch which number of workers began."""
    found = re.findall(r"RANK (\d+) (\d+ \d+) (\[.*\])", text)
    return {int(rank): (samples, ast.literal_eval(workers)) for rank, samples, workers in found}


def plain(command: list[str], cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.parametrize("command", [TORCHRUN, SPAWNED], ids=["torchrun", "spawned"])
def test_all_ranks_are_swapped_before_the_same_batch_and_keep_their_samples(conduct, tmp_path, command):
    arguments = ["60", "3", "same"]
    conducted = conduct(command, *arguments)
    environment = conducted.hello.environment
    assert (environment.ranks, environment.ranks_elsewhere) == (2, 0)
    processes = psutil.Process(conducted.target.pid).children(recursive=True)
    for workers in (0, 2, 0, 1):
        # Workers of a spawned process are spawned as well: each imports torch.
        burst = conducted.burst(num_workers=workers, deadline_s=60.0)
        assert [use.rank for use in burst.ranks] == [0, 1]
        assert set(burst.samples) == {8}, "of both ranks"
        assert all(wait <= period for wait, period in zip(burst.wait_s, burst.period_s, strict=True))
    assert conducted.finish().status == 0
    conducted.target.stop()
    assert not [process for process in processes if process.is_running()]
    ours, expected = seen((tmp_path / "log").read_text()), seen(plain([*command, *arguments], tmp_path).stdout)
    assert [ours[rank][0] for rank in (0, 1)] == [expected[rank][0] for rank in (0, 1)]
    changes = ours[0][1]
    assert [workers for _, workers in changes] == [0, 2, 0, 1, 0][: len(changes)]
    assert len(changes) >= 4
    assert ours[1][1] == changes, "before the same batches"


def test_the_ceiling_is_reached_by_all_ranks_at_once_and_the_slow_one_is_named(conduct):
    conducted = conduct(TORCHRUN, "400", "2", "slow")
    own = conducted.burst()
    fast, slow = own.ranks
    assert (fast.rank, slow.rank) == (0, 1)
    assert slow.wait_s > 2 * fast.wait_s
    assert sum(own.wait_s) > 0.9 * len(own.wait_s) * slow.wait_s, "the job waits for its slowest rank"
    service_s = [stamp.fetch_s for stamp in own.workers]
    assert min(service_s) > 0.03, "stamps are those of the slow rank"
    ceiling = conducted.burst(num_workers=0, replay=True)
    assert sum(ceiling.period_s) / len(ceiling.period_s) < 0.5 * sum(own.period_s) / len(own.period_s)


def test_a_trial_that_fails_in_another_rank_is_undone_in_all_and_names_it(conduct):
    conducted = conduct(TORCHRUN, "100", "3", "broken")
    conducted.burst()
    failure = conducted.failure(num_workers=2)
    assert "rank 1" in failure.reason
    assert "no worker can read this" in failure.reason
    assert conducted.burst().samples, "and the job goes on with its own settings"
    assert conducted.finish().status == 0


def test_run_applies_the_settings_in_every_rank_and_says_so_once(tmp_path):
    line = next(n for n, text in enumerate(Path(TARGET).read_text().splitlines(), 1) if "# HERE" in text)
    config = tmp_path / "config.json"
    loader = LoaderConfig(file=TARGET, line=line, settings=Settings.make(num_workers=2))
    config.write_bytes(msgspec.json.encode(ApplyConfig(loaders=[loader])))
    for command, scope in ((TORCHRUN, "tree"), (SPAWNED, "self")):
        env = attach.environment(os.environ, mode="apply", scope=scope, config=str(config))
        done = plain([*command, "10", "1", "same"], tmp_path, env)
        assert {rank: workers for rank, (_, workers) in seen(done.stdout).items()} == {0: [(0, 2)], 1: [(0, 2)]}
        assert done.stderr.count("num_workers 0 -> 2") == 1
