"""What comes from elsewhere is data: refused in one line or accepted, never a crash, a write or a command.

The same doors get a million inputs from ``make fuzz`` (``python tests/fuzz/million.py``).
"""

from __future__ import annotations

import ast
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from guard import Guard
from mutations import Mutator
from surfaces import Surface, Surfaces

from gputune import baseline, config, files, record
from gputune.errors import RecordError

ROOT = Path(__file__).parents[2]
FOLDER = os.path.join(tempfile.gettempdir(), f"gputune-fuzz-{os.getpid()}")
DOORS = {surface.name: surface for surface in Surfaces(Path(FOLDER)).all}
MUTANTS = 1500


@pytest.fixture(scope="module")
def guard() -> Iterator[Guard]:
    os.mkdir(FOLDER, 0o700)
    yield Guard(FOLDER)
    shutil.rmtree(FOLDER)


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
def test_mutants_of_valid_inputs_are_refused_or_accepted(door: Surface, guard: Guard) -> None:
    mutator = Mutator(door.seeds, seed=20261124)
    accepted = 0
    count = int(MUTANTS * door.share)
    for _ in range(count):
        data = mutator.next()
        with guard:
            accepted += door.feed(data)
    assert 0 < accepted < count  # else the mutants say nothing about one of the two ways


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=300) | st.text(max_size=300).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_refused_or_accepted(door: Surface, data: bytes, guard: Guard) -> None:
    with guard:
        door.feed(data)


@pytest.mark.parametrize("suffix", [".json", ".yaml", ".toml"])
@pytest.mark.parametrize("depth", [100, 100_000])
def test_deep_nesting_is_refused(suffix: str, depth: int) -> None:
    with pytest.raises(RecordError):
        config.parse(b"x = " * (suffix == ".toml") + b"[" * depth, suffix, "input")


def test_deeply_nested_records_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    file.write_bytes(b'{"schema_version": 1, "options": ' + b'{"a": ' * 100_000)
    for load in (record.load, baseline.load):
        with pytest.raises(RecordError):
            load(file)


def test_a_yaml_file_that_grows_when_it_is_read_is_refused_at_once() -> None:
    """Aliases of aliases: a kilobyte that stands for gigabytes."""
    lines = [b"a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]".encode() for n in range(1, 12)]
    bomb = b"\n".join([*lines, b"command: *a11"])
    began = time.monotonic()
    with pytest.raises(RecordError):
        config.parse(bomb, ".yaml", "input")
    assert time.monotonic() - began < 5.0


@pytest.mark.parametrize("text", ["!!python/object/apply:os.system ['touch owned']", "!!python/name:os.system", "!x y"])
def test_yaml_builds_no_objects(text: str, guard: Guard) -> None:
    with guard, pytest.raises(RecordError):
        config.parse(text.encode(), ".yaml", "input")


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    with open(file, "wb") as sparse:
        sparse.truncate(files.MAX_FILE_BYTES + 1)
    with pytest.raises(RecordError, match="limit"):
        record.load(file)


UNSAFE = {"eval", "exec", "__import__"}
UNSAFE_CALLS = {
    ("pickle", "load"), ("pickle", "loads"), ("pickle", "Unpickler"), ("shelve", "open"), ("yaml", "load"),
    ("yaml", "unsafe_load"), ("yaml", "full_load"), ("os", "system"), ("os", "popen"),
}  # fmt: skip
MARSHAL = {"probes/sandbox/keeper.py", "probes/sandbox/wire.py"}
"""Read what the same interpreter has just written into a pipe that has no name."""


def test_nothing_in_the_sources_unpickles_or_evaluates() -> None:
    found = []
    for file in sorted((*ROOT.glob("tuner/**/*.py"), *ROOT.glob("probes/**/*.py"))):
        name = str(file.relative_to(ROOT))
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.Call):
                continue
            called = node.func
            if isinstance(called, ast.Name) and called.id in UNSAFE:
                found.append(f"{name}:{node.lineno} {called.id}")
            if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name):
                pair = (called.value.id, called.attr)
                if pair in UNSAFE_CALLS or (pair[0] == "marshal" and pair[1] != "dumps" and name not in MARSHAL):
                    found.append(f"{name}:{node.lineno} {'.'.join(pair)}")
                if pair == ("torch", "load") and not _weights_only(node):
                    found.append(f"{name}:{node.lineno} torch.load without weights_only")
    assert found == []


def _weights_only(call: ast.Call) -> bool:
    return any(word.arg == "weights_only" and getattr(word.value, "value", False) is True for word in call.keywords)
