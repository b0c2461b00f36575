"""Every fault gets a scene of its own and a row in the table that ends the test session."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from fault_table import FaultTable
from scene import Scene


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table; also into the file of ``--fault-table``."""
    table = FaultTable.of(config)
    if not table.rows:
        return
    terminalreporter.section("faults survived")
    for line in table.lines():
        terminalreporter.write_line(line)
    if file := config.getoption("--fault-table"):
        Path(file).write_text(table.markdown(), encoding="utf-8")


@pytest.fixture(scope="session")
def fault_table(pytestconfig: pytest.Config) -> FaultTable:
    """The table of this session, printed at its end."""
    return FaultTable.of(pytestconfig)


@pytest.fixture
def scene(fault_table: FaultTable) -> Iterator[Scene]:
    """A user's folder under /var/tmp: /tmp itself is passed through by the sandbox."""
    folder = Path(tempfile.mkdtemp(prefix="fault-", dir="/var/tmp"))
    running = Scene(folder, fault_table.add)
    yield running
    running.close()
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile the preloaded library that steps the clock and delays fsync; see shim.c."""
    library = tmp_path_factory.mktemp("shim") / "shim.so"
    source = Path(__file__).with_name("shim.c")
    flags = ["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror"]
    subprocess.run(["gcc", *flags, "-o", str(library), str(source), "-ldl"], check=True)
    return library


@pytest.fixture
def private_mounts() -> Callable[..., list[str]]:
    """Return a function from mount commands to a prefix that runs a command with those mounts, seen by it alone."""
    as_root = [] if os.geteuid() == 0 else ["--map-root-user"]

    def prefix(*mounts: str) -> list[str]:
        return ["unshare", "--mount", *as_root, "sh", "-ec", "; ".join([*mounts, 'exec "$@"']), "sh"]

    if subprocess.run([*prefix("mount -t tmpfs none /mnt"), "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount anything privately")
    return prefix
