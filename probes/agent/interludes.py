"""What happens between two batches of the training loader: other loaders (validation) and checkpoints."""

from __future__ import annotations

from gputune.probes.burst import StallKind

Span = tuple[StallKind, float, float]


class Interludes:
    """Collects spans until the next training batch takes them."""

    def __init__(self) -> None:
        self._other_from_s = 0.0
        self._other_until_s = 0.0
        self._other_batches = 0
        self._other_ended = False
        self._saves: list[tuple[float, float]] = []

    def other_batch(self, enter_s: float, return_s: float, ended: bool) -> None:
        """Note a request to a loader that is not the training loader; ``ended``: it raised StopIteration."""
        if not self._other_from_s:
            self._other_from_s = enter_s
        self._other_until_s = return_s
        self._other_batches += not ended
        self._other_ended |= ended

    def saved(self, start_s: float, duration_s: float) -> None:
        """Note a checkpoint."""
        self._saves.append((start_s, duration_s))

    def take(self) -> list[Span]:
        """Return the spans since the last training batch, not overlapping, and start anew.

        One batch of another loader for each training batch is a loader zipped with ours, not a validation.
        """
        spans: list[Span] = [(StallKind.CHECKPOINT, start, duration) for start, duration in self._saves]
        if self._other_batches > 1 or (self._other_batches and self._other_ended):
            inside_s = sum(d for s, d in self._saves if self._other_from_s <= s <= self._other_until_s)
            duration_s = max(0.0, self._other_until_s - self._other_from_s - inside_s)
            spans.append((StallKind.VALIDATION, self._other_from_s, duration_s))
        self.__init__()  # type: ignore[misc]
        return spans
