"""The terminal report: verdict first, next command last, 78 columns, no meaning in colour alone."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
import run_factory as factory

from gputune import record
from gputune.probes.burst import Hotspot, Where
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


def test_sampled_lines_are_listed_most_expensive_first() -> None:
    spots = [
        Hotspot(where=Where.FETCH, file="/a/data/coco.py", line=57, function="Coco.__getitem__", via="Resize",
                caller="", seconds_share=0.7, seconds=0.7),
        Hotspot(where=Where.FETCH, file="/a/data/coco.py", line=58, function="flip",
                caller="Flip.__call__ at coco.py:9", seconds_share=0.29, seconds=0.29),
        Hotspot(where=Where.FETCH, file="/a/data/coco.py", line=59, function="tiny", seconds_share=0.01),
    ]  # fmt: skip
    base = factory.burst()
    text = console.render(factory.run(diagnosis=msgspec.structs.replace(base, hotspots=spots)))
    listed = text[text.index("Where loading spends its time") :]
    assert listed.index("70 % Resize in data/coco.py:57") < listed.index("29 % data/coco.py:58 (flip)")
    assert "called by Flip.__call__ at coco.py:9" in " ".join(listed.split())
    assert "tiny" not in text
