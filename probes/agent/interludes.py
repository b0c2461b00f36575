"""What happens between two batches of the training loader: other loaders (validation) and checkpoints."""

from __future__ import annotations

from typing import NamedTuple

from gputune.probes.burst import StallKind


class Span(NamedTuple):
    """One thing that happened, as a :class:`gputune.probes.burst.Stall` without its batch."""

    kind: StallKind
    start_s: float
    duration_s: float
    detail: str = ""
    wait_s: float = 0.0


class Interludes:
    """Collects spans until the next training batch takes them."""

    def __init__(self) -> None:
        self._other_from_s = 0.0
        self._other_until_s = 0.0
        self._other_batches = 0
        self._other_ended = False
        self._other_wait_s = 0.0
        self._logs: list[Span] = []
        self._saves: list[tuple[float, float]] = []

    def other_batch(self, enter_s: float, return_s: float, ended: bool) -> None:
        """Note a request to a loader that is not the training loader; ``ended``: it raised StopIteration."""
        if not self._other_from_s:
            self._other_from_s = enter_s
        self._other_until_s = return_s
        self._other_wait_s += return_s - enter_s
        self._other_batches += not ended
        self._other_ended |= ended

    def saved(self, start_s: float, duration_s: float) -> None:
        """Note a checkpoint."""
        self._saves.append((start_s, duration_s))

    def logged(self, start_s: float, duration_s: float, library: str) -> None:
        """Note a call of a logger."""
        self._logs.append(Span(StallKind.LOGGING, start_s, duration_s, library))

    def take(self) -> list[Span]:
        """Return the spans since the last training batch, not overlapping, and start anew.

        One batch of another loader for each training batch is a loader zipped with ours, not a validation.
        """
        spans: list[Span] = [Span(StallKind.CHECKPOINT, start, duration) for start, duration in self._saves]
        spans += self._logs
        if self._other_batches > 1 or (self._other_batches and self._other_ended):
            inside_s = sum(d for s, d in self._saves if self._other_from_s <= s <= self._other_until_s)
            duration_s = max(0.0, self._other_until_s - self._other_from_s - inside_s)
            spans.append(Span(StallKind.VALIDATION, self._other_from_s, duration_s, "", self._other_wait_s))
        self.__init__()  # type: ignore[misc]
        return spans
