"""Shows a campaign while it runs: on a terminal a live board of three lines, elsewhere one line an event."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from gputune import described, stats
from gputune.numbers import percent, plain_rate, rate, times
from gputune.probes.series import Series
from gputune.probes.settings import Settings
from gputune.record import Run, Trial
from gputune.report.tables import user_settings

PHASES = {
    "start": "starting the script and waiting for its training loop",
    "baseline": "measuring the script as it is",
    "ceiling": "measuring it with free data",
    "ceiling again": "measuring free data again: a trial was as fast and still waited",
    "search again": "trying settings against the new ceiling",
    "diagnosis": "sampling what runs, by line",
    "search": "trying settings",
    "knobs": "trying the script's own knobs",
    "proof": "proving the winner in alternating pairs",
}
WIDTH = 78
BAR, SPARKS = 24, 24
STAMP = 10
"""Columns before the text of an event."""
_LEVELS = "▁▂▃▄▅▆▇█"


def sparkline(values: list[float | None], top: float) -> str:
    """Return one character a value between 0 and ``top``; a dot where nothing was read."""
    last = len(_LEVELS) - 1
    return "".join("·" if v is None else _LEVELS[round(min(1.0, max(0.0, v / top)) * last)] for v in values)


class Board:
    """The live lines: what is being done, the best so far against the ceiling, how busy the device is.

    Args:
        now_s: the clock.
        ends_s: when the budget is over.
    """

    def __init__(self, now_s: Callable[[], float], ends_s: float) -> None:
        self._now_s, self._ends_s = now_s, ends_s
        self._spinner = Spinner("dots")
        self.text = ""
        self.run: Run | None = None
        self.watch: Callable[[], Series | None] = lambda: None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the lines at this moment."""
        width = min(WIDTH, options.max_width)
        left_s = self._ends_s - self._now_s()
        left = f"{left_s:.0f} s left" if left_s > 0 else f"{-left_s:.0f} s over budget"
        text = textwrap.shorten(self.text, max(20, width - len(left) - 4), placeholder=" ...")
        frame = self._spinner.render(self._now_s())
        assert isinstance(frame, Text)  # the spinner holds no text of its own
        yield Text.assemble(frame, f" {text:<{width - len(left) - 3}} {left}")
        for line in (self._best(), self._busy()):
            if line:
                yield Text(f"  {line}"[:width], style="dim")

    def _best(self) -> str:
        """Return the best rate so far, as a bar up to the ceiling."""
        run = self.run
        if run is None or run.baseline is None or not run.baseline.period_s:
            return ""
        own = stats.samples_per_s(run.baseline)
        best = max([own, *(stats.samples_per_s(trial.burst) for trial in run.trials if trial.burst is not None)])
        shown = f"best {times(best / max(1e-9, own))} at {rate(best)}"
        if run.ceiling is None or not run.ceiling.period_s:
            return shown
        ceiling = stats.samples_per_s(run.ceiling)
        full = round(min(1.0, best / max(1e-9, ceiling)) * BAR)
        return f"{shown}  {'█' * full}{'░' * (BAR - full)} of {plain_rate(ceiling)} with free data"

    def _busy(self) -> str:
        """Return how busy the GPU (without one: the script's CPU) was in the last seconds."""
        series = self.watch()
        if series is None or not series.t_s:
            return ""
        gpu = series.gpu_utilization[-SPARKS:]
        if any(value is not None for value in gpu):
            known = [value for value in gpu if value is not None]
            return f"GPU  {sparkline(gpu, 100.0):<{SPARKS}} {known[-1]:.0f} % busy"
        cpu = series.cpu_cores[-SPARKS:]
        count = float(max(1, len(series.cores) * series.cores_a_row))
        now = next((value for value in reversed(cpu) if value is not None), None)
        said = "" if now is None else f" {now:.1f} of {count:.0f} cores busy (no GPU is read)"
        return f"CPU  {sparkline(cpu, count):<{SPARKS}}{said}"


class Progress:
    """A listener of :class:`gputune.campaign.Campaign` that talks to stderr.

    Args:
        console: where to talk; redraws only on a terminal.
        budget_s: burst budget, for the time left.
        now_s: the clock.
    """

    def __init__(self, console: Console, budget_s: float, now_s: Callable[[], float] = time.monotonic) -> None:
        self._console, self._now_s = console, now_s
        self._started_s = now_s()
        self.board = Board(now_s, self._started_s + budget_s)
        self._live: Live | None = None
        self._said = ""

    @contextmanager
    def shown(self, watch: Callable[[], Series | None] = lambda: None) -> Iterator[None]:
        """Show the board while the block runs; without a terminal do nothing.

        Args:
            watch: returns what the sampler saw in the last seconds.
        """
        if not self._console.is_terminal:
            yield
            return
        self.board.watch = watch
        with Live(self.board, console=self._console, transient=True, refresh_per_second=8) as self._live:
            yield
        self._live = None

    def phase(self, name: str, run: Run) -> None:
        """A phase begins: say what was found before and what comes."""
        self._found(name, run)
        self._say(PHASES.get(name, name), run)

    def _found(self, name: str, run: Run) -> None:
        if name == "ceiling" and run.baseline is not None:
            found, wait = stats.throughput(run.baseline), stats.data_wait_share(run.baseline)
            self._event(f"as it is: {rate(found.value)}, waiting for data {percent(wait)} of the time")
        elif name == "diagnosis" and run.ceiling is not None and run.baseline is not None:
            found = stats.throughput(run.ceiling)
            gain = found.value / max(1e-9, stats.samples_per_s(run.baseline))
            self._event(f"with free data: {rate(found.value)}, {times(gain)}")

    def plan(self, settings: Settings, why: str, run: Run) -> None:
        """These settings are measured next."""
        if self._live is not None:
            self._say(f"trying {described.shown(settings, user_settings(run) or Settings())}", run)

    def trial(self, trial: Trial, run: Run) -> None:
        """A trial is complete."""
        if trial.burst is not None:
            found = stats.throughput(trial.burst)
            result = f"{rate(found.value)}{' (uncertain)' if found.wide else ''}"
        else:
            result = f"failed: {trial.infeasible.reason if trial.infeasible else 'no answer'}"
        self._event(f"{described.shown(trial.settings, user_settings(run) or Settings())}: {result}")
        self._say(PHASES["search"], run)

    def note(self, text: str) -> None:
        """Something worth a line."""
        self._event(text)

    def _event(self, text: str) -> None:
        """Print a line: wrapped for a terminal, one line each for logs."""
        line = f"  {self._now_s() - self._started_s:5.1f}s  {text}"
        if self._console.is_terminal:
            line = textwrap.fill(line, min(WIDTH, self._console.width), subsequent_indent=" " * STAMP)
        self._console.print(Text(line, style="dim"), soft_wrap=True)

    def _say(self, text: str, run: Run) -> None:
        self.board.text, self.board.run = text, run
        if self._live is None and text != self._said:
            self._event(f"{text} ...")
        self._said = text
