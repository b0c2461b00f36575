"""``%gputune`` in a real IPython: verbs run in a process of their own, stored runs are displayed as pages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import run_factory as factory

from gputune import magic, record


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    run = factory.run()
    record.save(run, tmp_path / "results" / run.id)
    return tmp_path


def test_a_stored_run_is_returned_so_that_the_notebook_shows_its_page(project: Path) -> None:
    shown = magic.gputune("report")
    assert shown == factory.run()
    assert magic.gputune("report 20261124") == shown
    assert "<iframe" in shown._repr_html_()


def test_an_unknown_run_is_named_and_nothing_shown(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert magic.gputune("report 1999") is None
    assert "no stored run begins with '1999'" in capsys.readouterr().err


def test_other_verbs_show_their_text_and_their_failure(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert magic.gputune("list") is None
    assert "20261124-101500-train" in capsys.readouterr().out
    assert magic.gputune("export --format 'no such'") is None
    seen = capsys.readouterr()
    assert "invalid choice: 'no such'" in seen.out
    assert "gputune ended with 2" in seen.err


def test_ipython_loads_it_and_shows_the_page(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    testing = pytest.importorskip("IPython.testing.globalipapp", reason="IPython is not installed")
    shell: Any = testing.start_ipython()
    shell.run_line_magic("load_ext", "gputune")
    shell.run_line_magic("gputune", "list")
    assert "20261124-101500-train" in capsys.readouterr().out
    shown = shell.run_line_magic("gputune", "report last")
    shell.display_formatter.active_types = ["text/plain", "text/html"]  # as in a notebook
    data, _ = shell.display_formatter.format(shown)
    assert data["text/html"].startswith("<iframe srcdoc=")


@pytest.mark.heavy
def test_a_profile_in_a_cell_ends_with_the_page_of_its_run(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(project / "cache"))
    target = Path(__file__).parents[1] / "targets" / "inference.py"
    shown = magic.gputune(f"profile --no-search --budget 10 {target}")
    assert shown is not None
    assert shown.command == [str(target)]
    assert shown.baseline is not None
