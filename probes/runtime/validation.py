"""``AsyncValidator``: evaluates snapshots of the weights beside the training loop, never the weights."""

from __future__ import annotations

import contextlib
import copy
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal

import torch

WhenBusy = Literal["skip", "latest", "wait"]


@dataclass(frozen=True)
class ValidationResult:
    """What one validation found."""

    step: int
    metrics: Mapping[str, float]
    seconds: float
    error: BaseException | None = None
    """What ``evaluate`` raised; the metrics are empty then."""


class AsyncValidator:
    """Runs ``evaluate`` on a private copy of the model, in its own thread and CUDA stream, without gradients.

    Call :meth:`trigger` between two steps, from the training thread: it copies weights and buffers, which is
    the only time training waits, so no evaluation ever sees a half-updated model. The copy is in evaluation
    mode; the training model's mode and the caller's gradient mode are not touched. ``evaluate`` must not draw
    from the global random generators: they are shared with training.

    Args:
        evaluate: called with the copy, returns metrics by name.
        model: the model being trained.
        monitor: the metric that decides what is best; None tracks nothing.
        mode: "min" when lower is better, "max" when higher.
        when_busy: for a trigger during an evaluation: "latest" keeps the newest snapshot waiting and forgets
        the one
            that waited before, "skip" ignores the trigger, "wait" blocks the training thread.
        on_result: called in the validation thread with each result.
    """

    def __init__(
        self,
        evaluate: Callable[[torch.nn.Module], Mapping[str, float]],
        model: torch.nn.Module,
        *,
        monitor: str | None = None,
        mode: Literal["min", "max"] = "min",
        when_busy: WhenBusy = "latest",
        on_result: Callable[[ValidationResult], None] | None = None,
    ) -> None:
        if mode not in ("min", "max") or when_busy not in ("skip", "latest", "wait"):
            raise ValueError(f"mode {mode!r} must be min or max, when_busy {when_busy!r} skip, latest or wait")
        self._evaluate, self._model, self._monitor = evaluate, model, monitor
        self._mode, self._when_busy, self._on_result = mode, when_busy, on_result
        self._changed = threading.Condition()
        self._waiting: tuple[int, torch.nn.Module, Any] | None = None
        self._spare: list[torch.nn.Module] = []
        self._running = False
        self._closed = False
        self._best: ValidationResult | None = None
        self._results: queue.SimpleQueue[ValidationResult] = queue.SimpleQueue()
        self.skipped = 0
        """Triggers that led to no evaluation because validation is slower than they come."""
        self._thread = threading.Thread(target=self._serve, name="gputune-validation", daemon=True)
        self._thread.start()

    def trigger(self, step: int) -> bool:
        """Take a snapshot now and have it evaluated; returns whether this trigger was accepted.

        Raises:
            RuntimeError: the validator is closed.
        """
        with self._changed:
            if self._closed:
                raise RuntimeError("the validator is closed: trigger it before close()")
            if self._when_busy == "wait":
                while self._running or self._waiting is not None:
                    self._changed.wait()
            elif self._when_busy == "skip" and (self._running or self._waiting is not None):
                self.skipped += 1
                return False
            if self._waiting is not None:
                self._spare.append(self._waiting[1])
                self._waiting = None
                self.skipped += 1
            copied = self._spare.pop() if self._spare else None
        # Outside the lock: the worker may finish meanwhile, and only this thread starts snapshots.
        copied, ready = _take_snapshot(self._model, copied)
        with self._changed:
            self._waiting = (step, copied, ready)
            self._changed.notify_all()
        return True

    def results(self) -> list[ValidationResult]:
        """Return the results that came since the last call, oldest first, without waiting."""
        found = []
        with contextlib.suppress(queue.Empty):
            while True:
                found.append(self._results.get_nowait())
        return found

    @property
    def best(self) -> ValidationResult | None:
        """The best result so far by the monitored metric."""
        with self._changed:
            return self._best

    def wait(self) -> None:
        """Block until every accepted snapshot is evaluated."""
        with self._changed:
            while self._running or self._waiting is not None:
                self._changed.wait()

    def close(self) -> None:
        """Evaluate what is waiting and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def __enter__(self) -> AsyncValidator:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _serve(self) -> None:
        while True:
            with self._changed:
                while self._waiting is None and not self._closed:
                    self._changed.wait()
                if self._waiting is None:
                    return
                (step, model, ready), self._waiting, self._running = self._waiting, None, True
            result = self._run(step, model, ready)
            with self._changed:
                self._running = False
                self._spare.append(model)
                self._note_best(result)
                self._results.put(result)
                self._changed.notify_all()
            if self._on_result is not None:
                self._on_result(result)

    def _run(self, step: int, model: torch.nn.Module, ready: Any) -> ValidationResult:
        started = time.perf_counter()
        try:
            with torch.no_grad(), _own_stream(ready):
                metrics = {name: float(value) for name, value in self._evaluate(model).items()}
        # The user's evaluate may fail in any way; training goes on and the result says what happened.
        except Exception as error:  # noqa: BLE001
            return ValidationResult(step, {}, time.perf_counter() - started, error)
        return ValidationResult(step, metrics, time.perf_counter() - started)

    def _note_best(self, result: ValidationResult) -> None:
        value = result.metrics.get(self._monitor or "")
        if value is None or value != value:
            return
        held = None if self._best is None else self._best.metrics[self._monitor or ""]
        if held is None or (value < held if self._mode == "min" else value > held):
            self._best = result


def _take_snapshot(model: torch.nn.Module, spare: torch.nn.Module | None) -> tuple[torch.nn.Module, Any]:
    """Copy weights and buffers into ``spare`` (or a new copy); returns it and the event of its completion."""
    with torch.no_grad():
        if spare is None:
            spare = copy.deepcopy(model).eval().requires_grad_(False)
        else:
            spare.load_state_dict(model.state_dict())
    if not any(parameter.is_cuda for parameter in spare.parameters()):
        return spare, None
    ready = torch.cuda.Event()  # type: ignore[no-untyped-call]
    ready.record(torch.cuda.current_stream())
    return spare, ready


@contextlib.contextmanager
def _own_stream(ready: Any) -> Any:
    """Run on a stream that waits for the snapshot; not yet measured on a GPU (none was at hand)."""
    if ready is None:
        yield
        return
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    with torch.cuda.stream(stream):
        stream.wait_event(ready)
        yield
    stream.synchronize()
