"""Discrete-event simulation of torch's DataLoader feeding a training loop, in virtual time.

What it keeps of torch: round-robin dispatch of one batch to one worker, at most ``workers x prefetch``
batches outstanding, a new index sent only when a batch is handed out, in-order delivery (head-of-line
blocking) or first finished first served, a serial pin thread, and fetching on the training thread without
workers. CPU and storage are shared by processor sharing: each has a virtual clock that runs at the current
rate, so that the next event is the top of a heap however often the rate changes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from heapq import heappop, heappush

from gputune.probes.settings import Settings

from .draws import Draws
from .workload import TICK_S, Disturbance, Workload

NEVER = math.inf


@dataclass(slots=True)
class Made:
    """One batch as its worker saw it."""

    worker: int
    start_s: float
    idle_s: float
    cpu_s: float = 0.0
    end_s: float = NEVER
    ready_s: float = NEVER


@dataclass(slots=True)
class _Worker:
    queue: list[int] = field(default_factory=list)
    current: int = -1
    free_s: float = 0.0
    cpu_work_s: float = 0.0
    core_from_s: float = 0.0
    new: bool = True


@dataclass(slots=True)
class Delivery:
    """One batch as the training loop saw it."""

    at_s: float
    wait_s: float
    ready: int


class Simulation:
    """A loader started at ``start_s`` and the loop it feeds; :meth:`step` runs one training step."""

    def __init__(
        self,
        workload: Workload,
        settings: Settings,
        disturbance: Disturbance,
        *,
        start_s: float,
        seed: int,
        replay: bool,
    ) -> None:
        self.workload, self.settings, self.disturbance, self.replay = workload, settings, disturbance, replay
        self.now_s = start_s
        self.workers = [_Worker(free_s=start_s) for _ in range(0 if replay else settings.num_workers)]
        self.prefetch = settings.prefetch_factor or 1
        self.made: dict[int, Made] = {}
        self.finished: list[Made] = []
        self._draws = Draws(workload, seed)
        self._cpu_heap: list[tuple[float, int]] = []
        self._io_heap: list[tuple[float, int]] = []
        self._cpu_clock = self._io_clock = self._core_clock = 0.0
        self._next_worker = self._sent = self._handed = 0
        self._pin_free_s = self._gpu_free_s = self._gpu_previous_s = start_s
        self._asks_s = start_s
        self._workers_up_s = start_s + 0.05 + workload.start_worker_s * len(self.workers)
        for _ in range(self.prefetch * len(self.workers)):
            self._dispatch()

    # -- one step of the training loop

    def step(self) -> Delivery:
        """Wait for the next batch, then run the step on it (which ends before the next call's wait
        begins)."""
        asked_s = self._asks_s
        if not self.workers:
            made = self._fetch_here(asked_s)
            ready = 0
            got_s = made.end_s + (self.workload.pin_s if self.settings.pin_memory and not self.replay else 0.0)
            self.now_s = got_s
        else:
            made = self._await(asked_s)
            ready = (made.ready_s <= asked_s) + sum(other.ready_s <= asked_s for other in self.made.values())
            receive = self.workload.receive_s * (0.3 if self.settings.pin_memory else 1.0)
            got_s = self.now_s + receive / self._cpu_rate()[0]
        delivery = Delivery(got_s, got_s - asked_s, ready)
        self._asks_s = self._train(got_s)
        if not self.workers:
            self.now_s = self._asks_s
        return delivery

    def _train(self, at_s: float) -> float:
        """Return when the training thread asks for the next batch."""
        work, main_rate = self.workload, self._cpu_rate()[0]
        tick = self._tick()
        draw = self._draws.of(self._handed)
        gpu_s = work.gpu_s * max(0.2, 1 + work.gpu_spread * draw[3]) / _at(self.disturbance.gpu, tick)
        gpu_s *= 1 + work.gpu_slope * len(self._cpu_heap) / work.cpus
        copy_s = work.copy_pinned_s if self.settings.pin_memory else work.copy_pageable_s
        if copy_s > 0:
            at_s = max(at_s, self._gpu_free_s) + copy_s
        launch_s = work.launch_s / main_rate
        gpu_end_s = max(at_s + launch_s, max(at_s + 0.1 * launch_s, self._gpu_free_s) + gpu_s)
        end_s = max(at_s + launch_s, self._gpu_previous_s)
        if work.synchronous:
            end_s = max(end_s, gpu_end_s)
        self._gpu_free_s = self._gpu_previous_s = gpu_end_s
        self._handed += 1
        if work.log_every and self._handed % work.log_every == 0:
            end_s = max(end_s, gpu_end_s) + work.log_s / main_rate
        return end_s

    # -- workers

    def _fetch_here(self, at_s: float) -> Made:
        if self.replay:
            return Made(-1, at_s, 0.0, 0.0, at_s, at_s)
        cpu, io, _, _ = self._draws.of(self._handed)
        cpu /= self._cpu_rate()[0]
        io /= _at(self.disturbance.io, self._tick())
        made = Made(-1, at_s, 0.0, cpu, at_s + cpu + io, at_s + cpu + io)
        self.finished.append(made)
        return made

    def _await(self, asked_s: float) -> Made:
        """Advance virtual time until a batch can be handed out at or after ``asked_s``."""
        while True:
            if self.now_s >= asked_s and (batch := self._ready_batch()) is not None:
                break
            self._advance(asked_s)
        made = self.made.pop(batch)
        self._dispatch(made.worker)
        return made

    def _ready_batch(self) -> int | None:
        if self.settings.in_order:
            made = self.made.get(self._handed)
            return self._handed if made is not None and made.ready_s <= self.now_s else None
        done = [(made.ready_s, b) for b, made in self.made.items() if made.ready_s <= self.now_s]
        return min(done)[1] if done else None

    def _dispatch(self, freed: int | None = None) -> None:
        """Send the next index: round-robin, or without order to the worker that has just lost a batch."""
        target = self._next_worker if self.settings.in_order or freed is None else freed
        self._next_worker = (self._next_worker + 1) % len(self.workers)
        worker = self.workers[target]
        worker.queue.append(self._sent)
        self._sent += 1
        if worker.current < 0 and self.now_s >= self._workers_up_s:
            self._begin(target)

    def _begin(self, index: int) -> None:
        worker = self.workers[index]
        batch = worker.queue.pop(0)
        cpu, io, _, _ = self._draws.of(batch)
        if worker.new:
            cpu += self.workload.lazy_open_s
            worker.new = False
        worker.current, worker.cpu_work_s = batch, cpu + self.workload.worker_put_s
        self.made[batch] = Made(index, self.now_s, self.now_s - worker.free_s)
        if io > 0:
            heappush(self._io_heap, (self._io_clock + io, index))
        else:
            self._compute(index)

    def _compute(self, index: int) -> None:
        worker = self.workers[index]
        worker.core_from_s = self._core_clock
        heappush(self._cpu_heap, (self._cpu_clock + worker.cpu_work_s, index))

    def _advance(self, asked_s: float) -> None:
        """Run to the next event: a finished read or computation, a pinned batch, a change of the rates."""
        _, cpu_rate, io_rate = self._cpu_rate()
        cpu_s = self.now_s + (self._cpu_heap[0][0] - self._cpu_clock) / cpu_rate if self._cpu_heap else NEVER
        io_s = self.now_s + (self._io_heap[0][0] - self._io_clock) / io_rate if self._io_heap else NEVER
        other_s = (self._tick() + 1) * TICK_S
        if self.now_s < asked_s < other_s:
            other_s = asked_s
        if self.now_s < self._workers_up_s < other_s:
            other_s = self._workers_up_s
        first = self.made.get(self._handed)
        if self.settings.pin_memory and first is not None and self.now_s < first.ready_s < other_s:
            other_s = first.ready_s
        next_s = min(cpu_s, io_s, other_s)
        self._cpu_clock += cpu_rate * (next_s - self.now_s)
        self._io_clock += io_rate * (next_s - self.now_s)
        # CPU time as the kernel counts it: the share of a core, slowed by caches and switches or not.
        demand = (len(self._cpu_heap) + 1.0 + self.workload.background_cpus) / self.workload.cpus
        self._core_clock += min(1.0, 1 / demand) * (next_s - self.now_s)
        starting = self.now_s < self._workers_up_s <= next_s
        self.now_s = next_s
        if starting:
            for index in range(len(self.workers)):
                self._begin(index)
        elif next_s == cpu_s:
            self._finish(heappop(self._cpu_heap)[1])
        elif next_s == io_s:
            self._compute(heappop(self._io_heap)[1])

    def _finish(self, index: int) -> None:
        worker = self.workers[index]
        made = self.made[worker.current]
        made.end_s = made.ready_s = self.now_s
        made.cpu_s = self._core_clock - worker.core_from_s
        if self.settings.pin_memory:
            self._pin_free_s = max(self.now_s, self._pin_free_s) + self.workload.pin_s + 0.7 * self.workload.receive_s
            made.ready_s = self._pin_free_s
        self.finished.append(made)
        worker.current, worker.free_s = -1, self.now_s
        if worker.queue:
            self._begin(index)

    # -- rates

    def _tick(self) -> int:
        return int(self.now_s / TICK_S + 1e-9)

    def _cpu_rate(self) -> tuple[float, float, float]:
        """Return the speeds of the main thread, of a worker's CPU work and of a read."""
        work, tick = self.workload, self._tick()
        busy, reading = len(self._cpu_heap), len(self._io_heap)
        main = _at(self.disturbance.cpu, tick)
        demand = (busy + 1.0 + work.background_cpus) / work.cpus
        if demand > 1:
            main /= demand * (1 + work.oversubscription * (demand - 1))
        cpu = main / (1 + work.memory_slope * min(busy, work.cpus) / work.cpus)
        io = _at(self.disturbance.io, tick)
        if reading > work.io_lanes:
            excess = reading / work.io_lanes
            io /= excess * (1 + work.io_thrash * (excess - 1))
        return main, cpu, io


def _at(trace: list[float], tick: int) -> float:
    return trace[tick % len(trace)]
