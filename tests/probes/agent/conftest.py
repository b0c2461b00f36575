"""Real targets for the tests of the probes: a script in its own process, conducted through the real channel."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conducting import Conducted

from gputune.probes.target import Target

TARGETS = Path(__file__).parents[2] / "targets"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Target]]:
    targets: list[Target] = []

    def run(script: str, *arguments: object) -> Target:
        command = [sys.executable, str(TARGETS / script), *map(str, arguments)]
        targets.append(Target(command, cwd=tmp_path, log=tmp_path / "script.log"))
        return targets[-1]

    yield run
    for target in targets:
        target.stop()


@pytest.fixture
def conduct(start: Callable[..., Target]) -> Callable[..., Conducted]:
    return lambda script, *arguments: Conducted(start(script, *arguments))
