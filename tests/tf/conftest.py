"""These tests need TensorFlow, which is large: they run in an environment of their own, with make tensorflow."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conducting import Conducted

from gputune.probes.target import Target

TARGETS = Path(__file__).parent / "targets"
THERE = importlib.util.find_spec("tensorflow") is not None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("tensorflow")
            if not THERE:
                item.add_marker(pytest.mark.skip(reason="TensorFlow is not installed here: make tensorflow"))


@pytest.fixture
def conduct(tmp_path: Path) -> Iterator[Callable[..., Conducted]]:
    """Start a target script with the agent inside; everything it started is gone afterwards."""
    started: list[Target] = []

    def start(script: str, *arguments: str) -> Conducted:
        target = Target([sys.executable, str(TARGETS / script), *arguments], cwd=tmp_path, log=tmp_path / "script.log")
        started.append(target)
        return Conducted(target)

    yield start
    for target in started:
        target.stop()
