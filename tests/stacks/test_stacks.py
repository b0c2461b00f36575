"""Every stack, with the real library: found, swapped without losing a sample, replayed, applied, ended."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import msgspec
import psutil
import pytest
from conducting import Conducted
from stacks import PYTHON, STACKS, TARGETS, Stack

from gputune.probes import attach
from gputune.probes.agent.apply import ApplyConfig, LoaderConfig
from gputune.probes.protocol import LoaderSite
from gputune.probes.settings import Settings
from gputune.probes.target import Target, TargetGone

pytestmark = [pytest.mark.stacks, pytest.mark.timeout(400)]


def command(stack: Stack) -> list[str]:
    return [*PYTHON, *stack.command()]


def samples(text: str) -> list[int]:
    line = next((line for line in text.splitlines() if line.startswith("SEEN ")), None)
    assert line is not None, text
    return [int(part) for part in line.removeprefix("SEEN ").split(",")]


def plain_run(stack: Stack, cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command(stack), cwd=cwd, env=env, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr
    return done


def where_users_look(site: LoaderSite) -> tuple[str, int]:
    return site.user_file or site.file, site.user_line or site.line


@pytest.mark.parametrize("stack", [stack for stack in STACKS if not stack.untuned], ids=lambda stack: stack.id)
def test_a_stack_is_found_swapped_replayed_and_tuned_without_a_change_to_it(stack: Stack, tmp_path: Path) -> None:
    if stack.why_not():
        pytest.skip(stack.why_not())
    target = Target(command(stack), cwd=tmp_path, log=tmp_path / "script.log")
    try:
        conducted = Conducted(target)
        site = conducted.hello.loader
        processes = [psutil.Process(target.pid)]
        assert (site.role, site.settings.num_workers) == (stack.role, 0)
        assert where_users_look(site) == (str(TARGETS / stack.script), stack.line())
        assert conducted.hello.environment.hot_swap, conducted.hello.environment.hot_swap_reason
        conducted.burst()
        for workers in (2, 0, 1):
            burst = conducted.burst(num_workers=workers)
            assert burst.settings.num_workers == workers
            assert sum(burst.samples) > 0
            processes += processes[0].children(recursive=True)
        ceiling = conducted.burst(num_workers=0, replay=True)
        assert len(ceiling.period_s) >= 6
        gone = conducted.finish() if not stack.streamed else None
    finally:
        target.stop()
    assert not [process for process in processes if process.is_running()]
    expected = samples(plain_run(stack, tmp_path).stdout)
    if gone is not None:
        assert gone.status == 0, gone.tail
        seen = samples((tmp_path / "script.log").read_text())
        other = [position for position, pair in enumerate(zip(seen, expected, strict=True)) if pair[0] != pair[1]]
        replayed = (len(ceiling.period_s) + 4) * 8
        assert 0 < len(other) <= other[-1] - other[0] + 1 <= replayed, "only replayed batches may differ"
    applied = plain_run(stack, tmp_path, with_two_workers(site, tmp_path))
    assert "num_workers 0 -> 2" in applied.stderr
    assert sorted(samples(applied.stdout)) == sorted(expected)
    if not stack.streamed and not stack.other_shuffle:
        assert samples(applied.stdout) == expected


def with_two_workers(site: LoaderSite, folder: Path) -> dict[str, str]:
    """Return the environment that ``gputune run`` would give the script."""
    loader = LoaderConfig(
        file=site.file,
        line=site.line,
        function=site.function,
        dataset_class=site.dataset_class,
        settings=Settings.make(num_workers=2),
    )
    config = folder / "config.json"
    config.write_bytes(msgspec.json.encode(ApplyConfig(loaders=[loader])))
    return attach.environment(os.environ, mode="apply", scope="self", config=str(config))


def test_a_script_without_a_loader_is_measured_by_line(tmp_path: Path) -> None:
    target = Target([*PYTHON, str(TARGETS / "no_loader.py"), "none", "100000"], cwd=tmp_path)
    try:
        with pytest.raises(TargetGone) as gone:
            target.hello(120)
    finally:
        target.stop()
    goodbye = gone.value.goodbye
    assert gone.value.status == 0
    assert goodbye is not None
    assert goodbye.loaders == []
    first = goodbye.hotspots[0]
    assert (first.file, first.function) == (str(TARGETS / "no_loader.py"), "read_batch")
