"""``Pipeline``: collect, decode, normalise, augment, to device, each stage with its own threads."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from gputune.probes.runtime.ring import Ring, RingClosedError
from gputune.probes.runtime.stage import Envelope, Occupancy, Stage, StageError, StageRunner

_JOIN_S = 10.0


class Pipeline:
    """Maps a source through stages and iterates like a ``DataLoader``: once for each ``iter()``.

    Give it a list of index batches, a sampler or a whole ``DataLoader`` as ``source``. Threads suit work that
    waits or lets go of the GIL (reading, JPEG decoding, numpy, torch); pure Python stages get no faster with
    threads.

    Args:
        source: iterated anew for each epoch, in one thread.
        stages: applied one after the other.
        ordered: hand items out in the source's order; without, in the order they are ready.
        source_buffer: items collected ahead of the first stage.

    Raises:
        ValueError: no stage, or two of the same name.
    """

    def __init__(
        self, source: Iterable[Any], stages: Sequence[Stage], *, ordered: bool = True, source_buffer: int = 4
    ) -> None:
        names = [stage.name for stage in stages]
        if not stages or len(set(names)) != len(names):
            raise ValueError(f"a pipeline needs stages with different names, not {names}")
        self.source, self.stages, self.ordered = source, tuple(stages), ordered
        self.source_buffer = source_buffer
        self._last: PipelineRun | None = None

    def __iter__(self) -> PipelineRun:
        self._last = PipelineRun(self)
        return self._last

    def __len__(self) -> int:
        return len(self.source)  # type: ignore[arg-type]  # raises TypeError for a source without a length

    def occupancy(self) -> list[Occupancy]:
        """Return how busy each stage was in the latest epoch, in the order of the stages."""
        return [] if self._last is None else self._last.occupancy()

    def bottleneck(self) -> str | None:
        """Return the busiest stage's name, or None when the consumer is slower than every stage.

        The stage whose threads were busy most of the time limits the rate; under 50 % none does.
        """
        measured = self.occupancy()
        busiest = max(measured, key=lambda o: o.busy_share, default=None)
        return busiest.stage if busiest is not None and busiest.busy_share >= 0.5 else None


class PipelineRun(Iterator[Any]):
    """One epoch. Ends its threads when it is exhausted, closed, failed or forgotten."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._works = _Works(pipeline)
        self._works.start()

    def __next__(self) -> Any:
        return self._works.take()

    def occupancy(self) -> list[Occupancy]:
        """Return how busy each stage has been."""
        return [runner.occupancy() for runner in self._works.runners]

    def close(self) -> None:
        """Stop all stages and wait for their threads."""
        self._works.stop()

    def __enter__(self) -> PipelineRun:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def __del__(self) -> None:
        works = getattr(self, "_works", None)
        if works is not None:
            works.stop()


class _Works:
    """Rings and threads; apart from :class:`PipelineRun` so that running threads do not keep that alive."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._source, self._ordered = pipeline.source, pipeline.ordered
        capacities = [pipeline.source_buffer, *(stage.buffer for stage in pipeline.stages)]
        self._rings: list[Ring[Envelope]] = [Ring(capacity) for capacity in capacities]
        self._failure: StageError | None = None
        self._early: dict[int, Any] = {}
        self._next = 0
        self._lock = threading.Lock()
        self._stopped = False
        # In order, a slow item lets others pass it only so far: what is under way at once bounds the waiting
        # ones.
        self._window = sum(capacities) + sum(stage.threads for stage in pipeline.stages) + 1
        self._tokens = threading.Semaphore(self._window)
        self.runners = [
            StageRunner(stage, self._rings[n], self._rings[n + 1], self._failing(stage.name))
            for n, stage in enumerate(pipeline.stages)
        ]
        self._feeder = threading.Thread(target=self._feed, name="gputune-pipeline-collect", daemon=True)

    def start(self) -> None:
        for thread in self._threads():
            thread.start()

    def take(self) -> Any:
        try:
            while not self._stopped:
                if self._ordered and self._next in self._early:
                    return self._hand_out(self._early.pop(self._next))
                number, item = self._rings[-1].get()
                if not self._ordered:
                    return self._hand_out(item)
                self._early[number] = item
        except RingClosedError:
            pass  # exhausted, or a stage failed
        self.stop()
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure from failure.__cause__
        raise StopIteration

    def stop(self) -> None:
        self._stopped = True
        for ring in self._rings:
            ring.break_off()
        self._tokens.release(1)
        for thread in self._threads():
            if thread is not threading.current_thread() and thread.ident is not None:
                thread.join(_JOIN_S)

    def _hand_out(self, item: Any) -> Any:
        self._next += 1
        self._tokens.release()
        return item

    def _feed(self) -> None:
        number = 0
        try:
            for item in self._source:
                self._tokens.acquire()
                if self._stopped:
                    break
                self._rings[0].put((number, item))
                number += 1
        except RingClosedError:
            pass  # the consumer has gone
        # Whatever the user's source raises is the consumer's to see.
        except BaseException as error:  # noqa: BLE001
            self._fail("collect", number, error)
        finally:
            self._rings[0].finish()

    def _failing(self, stage: str) -> Any:
        return lambda number, error: self._fail(stage, number, error)

    def _fail(self, stage: str, number: int, error: BaseException) -> None:
        with self._lock:
            if self._failure is None and not self._stopped:
                self._failure = StageError(stage, number, error)
                self._failure.__cause__ = error
        for ring in self._rings:
            ring.break_off()

    def _threads(self) -> list[threading.Thread]:
        return [self._feeder, *(thread for runner in self.runners for thread in runner.threads)]
