"""The view commands through their own parsers: data on stdout, talk on stderr, errors in one clear line."""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
import pytest
import run_factory as factory

from gputune import manual, record
from gputune.cli import main
from gputune.commands import VERBS
from gputune.errors import ExitCode, InconclusiveError, RecordError
from gputune.export import FORMATS as EXPORTS
from gputune.report import FORMATS as REPORTS

COMMANDS = {"export": "Export", "report": "Report", "list": "List", "compare": "Compare"}
VERB_NAMES = [name for name, _ in VERBS]


def command(name: str) -> Any:
    return getattr(import_module(f"gputune.commands.{name}"), COMMANDS[name])()


def call(name: str, *words: str) -> int:
    verb = command(name)
    parser = argparse.ArgumentParser(prog=f"gputune {name}")
    verb.configure(parser)
    return verb.run(parser.parse_args(list(words)))


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    run = factory.run()
    record.save(run, tmp_path / "results" / run.id)
    slower = factory.run(id="20261125-080000-train", created_at="2026-11-25T08:00:00+00:00", proof=None,
                         recommendation=None, outcome=record.Outcome.NOT_PROVED,
                         baseline=factory.burst(wait_s=0.09, service_s=0.09))  # fmt: skip
    record.save(slower, tmp_path / "results" / slower.id)
    return tmp_path / "results"


@pytest.mark.parametrize("name", VERB_NAMES)
def test_help_of_every_verb_has_two_examples_and_its_reference(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as left:
        main([name, "--help"])
    assert left.value.code == 0
    text = capsys.readouterr().out
    examples = text[text.index("examples:\n") :].split("\n\n")[0].splitlines()[1:]
    assert len(examples) >= 2
    assert all("gputune" in line for line in examples)
    assert "exit codes:" in text or name == "run"
    assert all(f"gputune {other} --help" in text for other in manual.PAGES[name].see_also)
    assert max(map(len, text.splitlines())) <= 80


def test_every_verb_has_a_reference_and_no_reference_is_of_nothing() -> None:
    assert set(manual.PAGES) == set(VERB_NAMES)


def test_configuring_every_verb_imports_nothing_heavy() -> None:
    code = (
        "import argparse, sys\n"
        "from importlib import import_module\n"
        f"for name, cls in {COMMANDS!r}.items():\n"
        "    getattr(import_module('gputune.commands.' + name), cls)().configure(argparse.ArgumentParser())\n"
        "print([name for name in ('torch', 'optuna', 'rich', 'numpy', 'yaml') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", [name for name in EXPORTS if name not in ("patch", "tfdata", "keras")])
def test_exports_go_to_stdout_and_nothing_else_does(name: str, results: Path, capfdbinary: Any) -> None:
    assert call("export", "20261124", "--format", name) == ExitCode.OK
    seen = capfdbinary.readouterr()
    assert seen.out.decode() == EXPORTS[name].render(factory.run())
    assert seen.err == b""


def test_an_export_goes_whole_into_a_file_and_says_so(results: Path, capfdbinary: Any) -> None:
    assert call("export", "20261124", "--format", "json", "-o", "best.json") == ExitCode.OK
    assert json.loads(Path("best.json").read_text())["loaders"][0]["settings"]["num_workers"] == 3
    seen = capfdbinary.readouterr()
    assert seen.out == b""
    assert seen.err == b"wrote best.json\n"


def test_a_run_without_recommendation_is_inconclusive(results: Path) -> None:
    with pytest.raises(InconclusiveError, match="20261125-080000-train recommends nothing"):
        call("export", "last")


def test_an_unknown_run_is_named(results: Path) -> None:
    for name in ("export", "report"):
        with pytest.raises(RecordError, match="no stored run begins with '1999'"):
            call(name, "1999")


@pytest.mark.parametrize("name", ["md", "html", "json", "trace"])
def test_reports_are_written_unchanged(name: str, results: Path, capfdbinary: Any) -> None:
    assert call("report", "20261124", "--format", name) == ExitCode.OK
    out = capfdbinary.readouterr().out
    assert out == REPORTS[name].render(factory.run())
    assert name != "trace" or json.loads(gzip.decompress(out))["traceEvents"]


def test_the_report_of_the_last_run_is_for_the_terminal(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("report") == ExitCode.OK
    assert "next: gputune report 20261125-080000-train --format html --open" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("called", "shown"),
    [
        ("/usr/lib/python3/gputune/__main__.py", "-m gputune report"),
        (".venv/bin/gputune", ".venv/bin/gputune report"),
        ("bin/gputune", "gputune report"),
    ],
    ids=["as a module", "not on the PATH", "on the PATH"],
)
def test_the_next_command_can_be_typed_where_this_one_was(
    called: str, shown: str, results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in (".venv/bin", "bin"):
        (results.parent / folder).mkdir(parents=True)
        (results.parent / folder / "gputune").touch(0o755)
    monkeypatch.setenv("PATH", str(results.parent / "bin"))
    monkeypatch.setattr(sys, "argv", [called if called.startswith("/") else str(results.parent / called)])
    assert call("report") == ExitCode.OK
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("next: ")
    assert f"{shown} 20261125" in last


def test_open_writes_the_page_beside_the_run_and_opens_it(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    assert call("report", "20261124", "--open") == ExitCode.OK
    page = results / factory.run().id / "report.html"
    assert page.read_text() == REPORTS["html"].render(factory.run()).decode()
    assert opened == [page.resolve().as_uri()]


def test_the_list_shows_ids_outcomes_and_commands(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (results / "torn").mkdir()
    (results / "torn" / "run.json").write_text("{")
    assert call("list") == ExitCode.OK
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("torn")
    assert "unreadable" in lines[0]
    assert [line.split()[0] for line in lines[1:]] == ["20261124-101500-train", "20261125-080000-train"]
    assert "recommended       train.py --epochs 3" in lines[1]


def test_an_empty_list_says_how_to_fill_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call("list") == ExitCode.OK
    seen = capsys.readouterr()
    assert seen.out == ""
    assert "gputune profile" in seen.err


def test_compare_says_slower_and_which_line_moved(
    results: Path, golden: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("compare", "20261124", "last") == ExitCode.OK
    text = capsys.readouterr().out
    assert text.startswith("B is slower than A (0.77x")
    assert "data wait moved most: 60 ms -> 89.9 ms a step" in text
    golden("compare.txt", text)


def test_compare_of_noise_is_inconclusive(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wild = factory.burst(wait_s=0.06, spread=12.0, batches=16)
    noisy = msgspec.structs.replace(factory.run(), id="noisy", baseline=wild, proof=None)
    record.save(noisy, results / "noisy")
    assert call("compare", "20261124", "noisy") == ExitCode.INCONCLUSIVE
    assert capsys.readouterr().out.startswith("Unclear")


def test_a_reader_that_stops_early_is_no_error(results: Path) -> None:
    code = (
        "import argparse, sys\nfrom gputune.commands.report import Report\n"
        "parser = argparse.ArgumentParser(); verb = Report(); verb.configure(parser)\n"
        "sys.exit(verb.run(parser.parse_args(['20261124', '--format', 'json'])))"
    )
    pipe = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert pipe.stdout is not None
    assert pipe.stderr is not None
    pipe.stdout.read(10)
    pipe.stdout.close()
    assert pipe.stderr.read() == b""
    assert pipe.wait(timeout=30) == 0
    pipe.stderr.close()
