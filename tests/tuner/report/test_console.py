"""The terminal report: verdict first, next command last, 78 columns, no meaning in colour alone."""

from __future__ import annotations

import re
from typing import Any

import pytest
import run_factory as factory

from gputune import record
from gputune.report import FORMATS, console

ANSI = re.compile(r"\x1b\[[0-9;]*m")


@pytest.mark.parametrize("name", factory.ALL)
def test_the_report_is_what_it_was(name: str, golden: Any) -> None:
    golden(f"console-{name}.txt", console.render(factory.ALL[name]()))


@pytest.mark.parametrize("name", factory.ALL)
def test_no_line_is_wider_than_78_columns(name: str) -> None:
    assert max(map(len, console.render(factory.ALL[name]()).splitlines())) <= 78


@pytest.mark.parametrize("name", factory.ALL)
def test_colour_adds_nothing_but_colour(name: str) -> None:
    plain, colored = console.render(factory.ALL[name]()), console.render(factory.ALL[name](), color=True)
    assert "\x1b[" not in plain
    assert "\x1b[" in colored
    unpainted = "\n".join(line.rstrip() for line in ANSI.sub("", colored).splitlines()) + "\n"
    assert unpainted == plain


def test_no_color_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in console.render(factory.run(), color=True)


def test_the_verdict_comes_first_and_the_next_command_last() -> None:
    lines = console.render(factory.run()).splitlines()
    assert lines[0].startswith("GPU waits for data 61 % of the time.")
    assert lines[-1].strip().startswith("or: gputune report")
    assert any(line.startswith("next: gputune export") for line in lines)


@pytest.mark.parametrize(
    ("share", "drawn"), [(0.0, ""), (1e-6, "▏"), (0.5, "█" * 14), (1.0, "█" * 28), (3.0, "█" * 28)]
)
def test_a_bar_is_never_empty_for_something_nor_longer_than_its_column(share: float, drawn: str) -> None:
    assert console.bar(share) == drawn


def test_markup_in_user_text_is_shown_and_not_obeyed() -> None:
    run = factory.run(command=["[bold]train.py"], missing=["[red]nothing[/red] :smile:"])
    text = console.render(run)
    assert "[red]nothing[/red] :smile:" in text
    assert "gputune run [bold]train.py" in text


@pytest.mark.parametrize("name", [name for name, row in FORMATS.items() if row.name != "html"])
@pytest.mark.parametrize("kind", factory.ALL)
def test_every_view_is_a_function_of_the_stored_run(name: str, kind: str) -> None:
    import msgspec

    run = factory.ALL[kind]()
    stored = msgspec.json.decode(record.dump(run), type=record.Run)
    assert FORMATS[name].render(stored) == FORMATS[name].render(run)
