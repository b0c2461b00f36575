"""Every stack, with the real library: found, swapped without losing a sample, replayed, applied, ended."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import msgspec
import psutil
import pytest
from conducting import Conducted

from gputune.probes import attach
from gputune.probes.agent.apply import ApplyConfig, LoaderConfig
from gputune.probes.protocol import LoaderSite
from gputune.probes.settings import Settings
from gputune.probes.target import Target, TargetGone

pytestmark = [pytest.mark.stacks, pytest.mark.timeout(400)]
TARGETS = Path(__file__).parent / "targets"


class Stack(NamedTuple):
    """One way to write a training script."""

    script: str
    shape: str
    library: str = "torch"
    mark: str = "HERE"
    """Comment on the user's line that leads to the loader."""
    streamed: bool = False
    """The dataset is a stream: a swap starts it again, so samples are not compared."""
    other_shuffle: bool = False
    """With workers from the start, torch draws the seed of the shuffle at another moment: same samples, other order."""


STACKS = (
    *(Stack("plain_loops.py", shape) for shape in ("plain", "recreated", "compiled", "amp", "lbfgs")),
    Stack("plain_loops.py", "zipped", other_shuffle=True),
    *(Stack("lightning_fit.py", shape, "lightning") for shape in ("plain", "validation", "module", "fabric")),
    Stack("huggingface.py", "trainer", "transformers", "HERE trainer"),
    Stack("huggingface.py", "accelerate", "accelerate", "HERE accelerate"),
    Stack("other_loaders.py", "stateful", "torchdata", "HERE stateful", other_shuffle=True),
    Stack("other_loaders.py", "pyg", "torch_geometric", "HERE pyg\n"),
    Stack("other_loaders.py", "pyg_nodes", "torch_geometric", "HERE pyg_nodes"),
    Stack("other_loaders.py", "timm", "timm", "HERE timm"),
    Stack("other_loaders.py", "webdataset", "webdataset", "HERE webdataset", streamed=True),
    Stack("other_loaders.py", "sharding", mark="HERE sharding", streamed=True),
)


def command(stack: Stack) -> list[str]:
    return [sys.executable, "-W", "ignore", str(TARGETS / stack.script), stack.shape]


def samples(text: str) -> list[int]:
    line = next((line for line in text.splitlines() if line.startswith("SEEN ")), None)
    assert line is not None, text
    return [int(part) for part in line.removeprefix("SEEN ").split(",")]


def plain_run(stack: Stack, cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command(stack), cwd=cwd, env=env, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr
    return done


def marked_line(stack: Stack) -> int:
    """Return the number of the line that a comment in the target marks."""
    before = (TARGETS / stack.script).read_text().partition(f"# {stack.mark}")[0]
    return before.count("\n") + 1


def where_users_look(site: LoaderSite) -> tuple[str, int]:
    return site.user_file or site.file, site.user_line or site.line


@pytest.mark.parametrize("stack", STACKS, ids=lambda stack: f"{stack.script[:-3]}-{stack.shape}")
def test_a_stack_is_found_swapped_replayed_and_tuned_without_a_change_to_it(stack: Stack, tmp_path: Path) -> None:
    if importlib.util.find_spec(stack.library) is None:
        pytest.skip(f"{stack.library} is not installed: make stacks")
    target = Target(command(stack), cwd=tmp_path, log=tmp_path / "script.log")
    try:
        conducted = Conducted(target)
        site = conducted.hello.loader
        processes = [psutil.Process(target.pid)]
        assert (site.role, site.settings.num_workers) == ("train", 0)
        assert where_users_look(site) == (str(TARGETS / stack.script), marked_line(stack))
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


def test_a_script_without_a_loader_ends_as_ever_and_is_known_to_have_none(tmp_path: Path) -> None:
    target = Target([sys.executable, str(TARGETS / "no_loader.py")], cwd=tmp_path)
    try:
        with pytest.raises(TargetGone) as gone:
            target.hello(120)
    finally:
        target.stop()
    assert gone.value.status == 0
    assert gone.value.goodbye is not None
    assert gone.value.goodbye.loaders == []
