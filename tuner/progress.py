"""Shows a campaign while it runs: on a terminal one live line with the best so far, elsewhere one line an event."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from gputune import stats
from gputune.probes.settings import Settings
from gputune.record import Run, Trial

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


class Progress:
    """A listener of :class:`gputune.campaign.Campaign` that talks to stderr.

    Args:
        console: where to talk; redraws only on a terminal.
        budget_s: burst budget, for the time left.
    """

    def __init__(self, console: Console, budget_s: float) -> None:
        self._console, self._budget_s = console, budget_s
        self._started_s = time.monotonic()
        self._line = Text()
        self._live: Live | None = None

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show the live line while the block runs; without a terminal do nothing."""
        if not self._console.is_terminal:
            yield
            return
        with Live(
            Spinner("dots", text=self._line), console=self._console, transient=True, refresh_per_second=8
        ) as self._live:
            yield
        self._live = None

    def phase(self, name: str, run: Run) -> None:
        """A phase begins: say what was found before and what comes."""
        self._found(name, run)
        self._say(PHASES.get(name, name), run)

    def _found(self, name: str, run: Run) -> None:
        if name == "ceiling" and run.baseline is not None:
            rate = stats.throughput(run.baseline)
            wait = stats.data_wait_share(run.baseline)
            self._event(f"as it is: {rate.value:.0f} samples/s, waiting for data {wait:.0%} of the time")
        elif name == "diagnosis" and run.ceiling is not None and run.baseline is not None:
            rate = stats.throughput(run.ceiling)
            gain = rate.value / max(1e-9, stats.samples_per_s(run.baseline))
            self._event(f"with free data: {rate.value:.0f} samples/s, {gain:.2f}x")

    def plan(self, settings: Settings, why: str, run: Run) -> None:
        """These settings are measured next."""
        if self._live is not None:
            self._say(f"trying {settings}", run)

    def trial(self, trial: Trial, run: Run) -> None:
        """A trial is complete."""
        if trial.burst is not None:
            rate = stats.throughput(trial.burst)
            mark = "!" if rate.wide else ""
            result = f"{rate.value:.0f} samples/s{mark}"
        else:
            result = f"failed: {trial.infeasible.reason if trial.infeasible else 'no answer'}"
        self._event(f"{trial.settings}: {result}")
        self._say(PHASES["search"], run)

    def note(self, text: str) -> None:
        """Something worth a line."""
        self._event(text)

    def _event(self, text: str) -> None:
        elapsed_s = time.monotonic() - self._started_s
        self._console.print(Text(f"  {elapsed_s:5.1f}s  {text}", style="dim"), soft_wrap=True)

    def _say(self, text: str, run: Run) -> None:
        best = _best(run)
        left_s = max(0.0, self._budget_s - (time.monotonic() - self._started_s))
        suffix = f" | best {best:.2f}x" if best else ""
        self._line.plain = f"{text}{suffix} | {left_s:.0f} s of budget left"
        if self._live is None:
            self._event(f"{text} ...")


def _best(run: Run) -> float | None:
    """Return the best trial's rate over the baseline's."""
    rates = [stats.samples_per_s(trial.burst) for trial in run.trials if trial.burst is not None]
    if not rates or run.baseline is None:
        return None
    return max(rates) / max(1e-9, stats.samples_per_s(run.baseline))
