from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gputune.errors import UsageError
from gputune.script import parse


@pytest.fixture
def train(tmp_path: Path) -> Path:
    path = tmp_path / "train.py"
    path.write_text("print('hello')\n")
    return path


def test_a_script_is_run_by_this_interpreter_with_its_arguments_untouched(train):
    script = parse([str(train), "--lr", "3", "--help"], None)
    assert script.argv == [sys.executable, str(train), "--lr", "3", "--help"]
    assert (script.name, script.scope) == ("train", "self")


def test_a_module_is_run_like_python_m(train):
    script = parse([], ["package.train", "-m", "x"])
    assert script.argv == [sys.executable, "-m", "package.train", "-m", "x"]
    assert script.command == ["-m", "package.train", "-m", "x"]


def test_a_command_after_two_dashes_is_run_as_it_is(train):
    script = parse(["--", "env", "python", "x.py"], None)
    assert script.argv == ["env", "python", "x.py"]
    assert script.scope == "tree"


@pytest.mark.parametrize(
    ("words", "module", "message"),
    [
        ([], None, "no script given"),
        ([], [], "-m needs the name of a module"),
        (["nowhere.py"], None, "nowhere.py: no such file"),
        (["--"], None, "no command after --"),
        (["--", "no-such-command-anywhere"], None, "no such command on PATH"),
    ],
)
def test_a_command_that_cannot_be_run_is_refused_with_the_next_step(words, module, message):
    with pytest.raises(UsageError, match=message) as caught:
        parse(words, module)
    assert caught.value.hint


def test_a_folder_is_no_script(tmp_path):
    with pytest.raises(UsageError, match="is a folder"):
        parse([str(tmp_path)], None)


@pytest.mark.parametrize("source", [b"def f(:\n", b"\x00\x01\x02", b"#!/bin/sh\necho 'hello\n"])
def test_what_is_not_python_is_refused(tmp_path, source):
    path = tmp_path / "other.py"
    path.write_bytes(source)
    with pytest.raises(UsageError, match="not valid Python"):
        parse([str(path)], None)


def test_a_main_guard_is_recognised(tmp_path):
    guarded, bare = tmp_path / "a.py", tmp_path / "b.py"
    guarded.write_text("def main(): ...\nif __name__ == '__main__':\n    main()\n")
    bare.write_text("def main(): ...\nmain()\n")
    assert parse([str(guarded)], None).has_main_guard
    assert not parse([str(bare)], None).has_main_guard
