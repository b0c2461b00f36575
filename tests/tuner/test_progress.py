"""What is shown while a campaign runs: three lines on a terminal, one line an event elsewhere."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import msgspec
import pytest
import run_factory as factory
from rich.console import Console

from gputune.probes.series import Series
from gputune.progress import Board, Progress, sparkline
from gputune.record import Run


class Clock:
    """Time that passes when told."""

    def __init__(self) -> None:
        self.now_s = 500.0

    def __call__(self) -> float:
        return self.now_s


def console(*, terminal: bool, width: int = 78) -> Console:
    return Console(
        file=io.StringIO(), width=width, force_terminal=terminal, color_system=None, legacy_windows=False, _environ={}
    )


def text_of(made: Console) -> str:
    file = made.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def known(trials: int) -> Run:
    whole = factory.run()
    return msgspec.structs.replace(whole, trials=whole.trials[:trials], proof=None, recommendation=None)


def campaign(progress: Progress, clock: Clock) -> None:
    """Let a campaign's events pass, two seconds apart."""
    blank = msgspec.structs.replace(known(0), baseline=None, ceiling=None)
    measured = msgspec.structs.replace(known(0), ceiling=None)
    steps: list[Any] = [
        lambda: progress.phase("start", blank),
        lambda: progress.note("your files are protected: everything the script writes goes to a scratch space, and "
                              "what it starts is ended with it"),
        lambda: progress.phase("baseline", blank),
        lambda: progress.phase("ceiling", measured),
        lambda: progress.phase("diagnosis", known(0)),
        lambda: progress.phase("search", known(0)),
        lambda: progress.plan(known(1).trials[0].settings, "predicted to keep up", known(0)),
        lambda: progress.trial(known(1).trials[0], known(1)),
        lambda: progress.trial(known(5).trials[4], known(5)),
        lambda: progress.phase("proof", known(5)),
        lambda: progress.note("pair 1: 2.46x"),
    ]  # fmt: skip
    for step in steps:
        clock.now_s += 2
        step()


def test_a_log_gets_one_line_an_event_without_escape_codes(golden: Any) -> None:
    clock, made = Clock(), console(terminal=False)
    progress = Progress(made, 90.0, clock)
    with progress.shown():
        campaign(progress, clock)
    golden("progress-log.txt", text_of(made))
    assert "\x1b" not in text_of(made)
    assert len(text_of(made).splitlines()) == 12


def test_quiet_says_nothing() -> None:
    clock, made = Clock(), console(terminal=False)
    made.quiet = True
    campaign(Progress(made, 90.0, clock), clock)
    assert text_of(made) == ""


def drawn(board: Board, width: int = 78) -> str:
    made = console(terminal=True, width=width)
    made.print(board)
    return text_of(made)


def board(run: Run | None, series: Series | None = None, text: str = "trying num_workers=4") -> Board:
    clock = Clock()
    made = Board(clock, clock.now_s + 62.0)
    made.text, made.run, made.watch = text, run, lambda: series
    return made


def gpu_series(gpu: bool = True) -> Series:
    base = factory.detailed().baseline
    assert base is not None
    series = factory.sampled(base, gpu).series
    assert series is not None
    return series


def test_the_board_shows_phase_budget_best_against_the_ceiling_and_the_gpu(golden: Any) -> None:
    parts = [
        drawn(board(None, text="starting the script and waiting for its training loop")),
        drawn(board(known(0), gpu_series())),
        drawn(board(known(3), gpu_series())),
        drawn(board(known(3), gpu_series(gpu=False), text="trying a very long name " * 8)),
    ]
    golden("progress-board.txt", "\n".join(parts))
    assert all(len(line) <= 78 for part in parts for line in part.splitlines())
    assert "62 s left" in parts[0]
    assert "best 1.00x at 320 samples/s" in parts[1]
    assert "GPU" in parts[2]
    assert "no GPU is read" in parts[3]


def test_a_proof_that_outlasts_the_budget_says_so() -> None:
    made = board(known(3), text="proving the winner in alternating pairs")
    late = Board(lambda: 700.0, 683.0)
    late.text = made.text
    assert drawn(late).rstrip().endswith("17 s over budget")


@pytest.mark.parametrize("width", [30, 60, 200])
def test_the_board_keeps_to_the_width_of_the_terminal(width: int) -> None:
    text = drawn(board(known(3), gpu_series()), width)
    assert max(map(len, text.splitlines())) <= min(width, 78)


def test_a_sparkline_tells_zero_full_and_unread() -> None:
    assert sparkline([0.0, 50.0, 100.0, 150.0, None], 100.0) == "▁▅██·"


def test_events_on_a_terminal_are_wrapped_under_their_text() -> None:
    clock, made = Clock(), console(terminal=True)
    Progress(made, 90.0, clock).note("word " * 40)
    lines = text_of(made).splitlines()
    assert len(lines) > 1
    assert all(len(line) <= 78 for line in lines)
    assert all(line.startswith(" " * 10) for line in lines[1:])


def test_no_color_is_heard(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    made = Console(file=io.StringIO(), force_terminal=True, width=78)
    Progress(made, 90.0, Clock()).note("measuring")
    assert "\x1b[3" not in text_of(made)
    assert "measuring" in text_of(made)
