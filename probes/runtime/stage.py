"""One stage of a pipeline: a function, the threads that run it, and how busy they were."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gputune.probes.runtime.ring import Ring, RingClosedError


@dataclass(frozen=True)
class Stage:
    """What one stage does.

    Args:
        name: shown in errors and reports.
        function: maps one item; runs in several threads at once when ``threads`` is above 1.
        threads: how many threads run it.
        buffer: items that may wait behind it for the next stage.
    """

    name: str
    function: Callable[[Any], Any]
    threads: int = 1
    buffer: int = 2

    def __post_init__(self) -> None:
        if self.threads < 1 or self.buffer < 1:
            raise ValueError(
                f"stage {self.name!r} needs at least 1 thread and 1 place in its buffer, "
                f"not {self.threads} and {self.buffer}"
            )


class StageError(RuntimeError):
    """A stage failed on one sample. ``__cause__`` is what its function raised.

    ``stage`` is the stage's name, ``sample`` the number of the item in the source, from 0.
    """

    def __init__(self, stage: str, sample: int, cause: BaseException) -> None:
        super().__init__(f"stage {stage!r} failed on sample {sample}: {type(cause).__name__}: {cause}")
        self.stage, self.sample = stage, sample


@dataclass(frozen=True)
class Occupancy:
    """How the threads of one stage spent their time, in seconds summed over threads."""

    stage: str
    threads: int
    items: int
    busy_s: float
    starved_s: float
    """Waiting for the stage before."""
    blocked_s: float
    """Waiting for the stage behind."""

    @property
    def busy_share(self) -> float:
        """Share of the threads' time spent in the stage's function, 0 to 1."""
        total = self.busy_s + self.starved_s + self.blocked_s
        return self.busy_s / total if total else 0.0


Envelope = tuple[int, Any]
"""An item and its number in the source."""


class StageRunner:
    """The threads of one stage between two rings."""

    def __init__(
        self,
        stage: Stage,
        source: Ring[Envelope],
        sink: Ring[Envelope],
        failed: Callable[[int, BaseException], None],
    ) -> None:
        self.stage, self._source, self._sink, self._failed = stage, source, sink, failed
        self._lock = threading.Lock()
        self._running = stage.threads
        self._items, self._busy_s, self._starved_s, self._blocked_s = 0, 0.0, 0.0, 0.0
        self.threads = [
            threading.Thread(target=self._serve, name=f"gputune-pipeline-{stage.name}-{n}", daemon=True)
            for n in range(stage.threads)
        ]

    def occupancy(self) -> Occupancy:
        """Return the figures so far."""
        with self._lock:
            return Occupancy(
                self.stage.name,
                self.stage.threads,
                self._items,
                self._busy_s,
                self._starved_s,
                self._blocked_s,
            )

    def _serve(self) -> None:
        try:
            while self._step():
                pass
        except RingClosedError:
            pass  # the end of the stream, or the consumer has gone
        finally:
            with self._lock:
                self._running -= 1
                last = self._running == 0
            if last:
                self._sink.finish()

    def _step(self) -> bool:
        asked = time.perf_counter()
        number, item = self._source.get()
        begun = time.perf_counter()
        try:
            result = self.stage.function(item)
        # Anything a user's function raises is carried to the consumer, KeyboardInterrupt included.
        except BaseException as error:  # noqa: BLE001
            self._failed(number, error)
            return False
        done = time.perf_counter()
        self._sink.put((number, result))
        with self._lock:
            self._items += 1
            self._starved_s += begun - asked
            self._busy_s += done - begun
            self._blocked_s += time.perf_counter() - done
        return True
