"""Shared by all tests: golden files with an --overwrite switch, and the path to helper modules."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
# Test folders are no packages (importmode=importlib), so helper modules are found through the path.
sys.path[:0] = [str(TESTS), str(TESTS / "tuner")]


HEAVY = (
    TESTS / "faults",
    TESTS / "probes" / "agent" / "test_samples.py",
    TESTS / "probes" / "attach",
    TESTS / "probes" / "sandbox",
    TESTS / "probes" / "runtime" / "checkpoint",
    TESTS / "tuner" / "commands" / "test_check.py",
    TESTS / "tuner" / "test_pytest_plugin.py",
    TESTS / "tuner" / "test_fresh_process.py",
)
"""Doors, faults survived and gates, in many processes each: run by ``make faults``."""

CAMPAIGNS = (
    TESTS / "probes" / "agent" / "test_ranks.py",
    TESTS / "tuner" / "commands" / "test_again.py",
    TESTS / "tuner" / "commands" / "test_offload.py",
    TESTS / "tuner" / "export" / "test_rehearsal.py",
    TESTS / "tuner" / "test_notebook.py",
)
"""Several whole campaigns each: run by ``make campaigns``, beyond the time of CI."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if any(part in (item.path, *item.path.parents) for part in (*HEAVY, *CAMPAIGNS)):
            item.add_marker("heavy")
        if item.path in CAMPAIGNS:
            item.add_marker("campaign")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fault-table", metavar="FILE", help="write the table of survived faults as Markdown")
    parser.addoption("--overwrite", action="store_true", help="rewrite the golden files with what is rendered now")


@pytest.fixture(scope="session")
def stub_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile the stand-in for libnvidia-ml.so.1 and return its path."""
    library = tmp_path_factory.mktemp("nvml") / "libnvidia-ml.so.1"
    flags = ["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", f"-Wl,-soname,{library.name}"]
    subprocess.run(["gcc", *flags, "-o", str(library), str(TESTS / "nvml_stub" / "nvml_stub.c")], check=True)
    return library


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compare a text with tests/golden/NAME, or write it with --overwrite."""

    def check(name: str, text: str) -> None:
        file = TESTS / "golden" / name
        if request.config.getoption("--overwrite"):
            file.write_text(text, encoding="utf-8")
        assert file.is_file(), f"no golden file {file}; look at the output, then: pytest --overwrite"
        assert text == file.read_text(encoding="utf-8"), f"differs from {file}; if it should: pytest --overwrite"

    return check
