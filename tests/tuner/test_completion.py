"""Completion in the real shells, with the script that the verb prints."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from gputune import completion
from gputune.cli import build_parser, main
from gputune.commands import VERBS
from gputune.export import FORMATS

VERB_NAMES = [name for name, _ in VERBS]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with two stored runs and one script."""
    for name in ("20261124-101500-train", "20261125-080000-train"):
        (tmp_path / "results" / name).mkdir(parents=True)
        (tmp_path / "results" / name / "run.json").write_text("{}")
    (tmp_path / "results" / "torn").mkdir()
    (tmp_path / "train.py").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def script(shell: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert main(["completion", shell]) == 0
    file = folder / f"completion.{shell}"
    file.write_text(capsys.readouterr().out)
    return file


def in_bash(file: Path, line: str) -> list[str]:
    words = line.split(" ")
    code = (
        f"source {file}; COMP_WORDS=({' '.join(repr(word) for word in words)}); COMP_CWORD={len(words) - 1}; "
        '_gputune; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "--norc", "-c", code], capture_output=True, text=True, timeout=20, check=True)
    assert done.stderr == ""
    return done.stdout.split()


def in_fish(file: Path, line: str) -> list[str]:
    code = f"source {file}; complete -C '{line}'"
    done = subprocess.run(["fish", "--no-config", "-c", code], capture_output=True, text=True, timeout=20, check=True)
    assert done.stderr == ""
    return [row.split("\t")[0] for row in done.stdout.splitlines()]


CASES = [
    ("gputune ", set(VERB_NAMES), set()),
    ("gputune e", {"export"}, {"report"}),
    ("gputune export --format ", set(FORMATS), {"last"}),
    ("gputune export --format p", {"patch", "python"}, {"yaml"}),
    ("gputune export --no", {"--no-verify"}, {"--format"}),
    ("gputune report ", {"last", "20261124-101500-train"}, {"torn", "patch"}),
    ("gputune report 20261125", {"20261125-080000-train"}, {"20261124-101500-train"}),
    ("gputune compare last 20261124", {"20261124-101500-train"}, {"last"}),
    ("gputune run --config l", {"last"}, set()),
    ("gputune completion ", {"bash", "zsh", "fish"}, {"last"}),
    ("gputune check --inconclusive ", {"pass", "fail"}, {"--quiet"}),
]


@pytest.mark.parametrize(("line", "offered", "not_offered"), CASES, ids=[case[0].strip() for case in CASES])
@pytest.mark.parametrize("shell", ["bash", "fish"])
def test_the_shell_offers(
    shell: str, line: str, offered: set[str], not_offered: set[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} on this machine")
    seen = {"bash": in_bash, "fish": in_fish}[shell](script(shell, folder, capsys), line)
    assert offered <= set(seen)
    assert not not_offered & set(seen)


def test_what_follows_the_script_is_the_scripts_own(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = script("bash", folder, capsys)
    assert "--budget" in in_bash(file, "gputune profile --b")
    assert in_bash(file, "gputune profile train.py --b") == []
    assert "--seed" in in_bash(file, "gputune profile --budget 30 --s")
    assert in_bash(file, "gputune profile --no-search train.py --s") == []
    assert in_bash(file, "gputune run -m package.train --c") == []


@pytest.mark.skipif(shutil.which("zsh") is None, reason="no zsh on this machine")
def test_zsh_takes_the_script_for_gputune(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = script("zsh", folder, capsys)
    code = (
        "zmodload zsh/zpty; zpty shell zsh -f -i\n"
        f"zpty -w shell 'PS1=; unsetopt zle_bracketed_paste; autoload -U compinit; compinit -u -D'\n"
        f"zpty -w shell 'source {file}; path=()'\n"
        "zpty -w shell 'print ready'; zpty -r -m shell line '*ready*ready*'\n"
        "zpty -w -n shell $'gputune export --no-v\\t 20261125\\t\\n'\n"
        "zpty -r -m shell line '*not found*'; print -r -- $line; zpty -d shell"
    )
    done = subprocess.run(["zsh", "-f", "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert "--no-verify" in done.stdout
    assert "20261125-080000-train" in done.stdout


def test_every_verb_and_option_is_in_every_script() -> None:
    found = completion.verbs(build_parser())
    assert [verb.name for verb in found] == VERB_NAMES
    for make in completion.SHELLS.values():
        text = make(found)
        assert "@@" not in text
        for verb in found:
            assert verb.name in text
            assert all(flag.lstrip("-") in text for flag in verb.flags)
