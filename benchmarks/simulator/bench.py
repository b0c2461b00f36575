"""The simulated :class:`gputune.bench.Bench` and the truth it is judged by."""

from __future__ import annotations

from gputune.probes.burst import Burst, HostUse, Infeasible, Purpose, WorkerBatch
from gputune.probes.protocol import Length
from gputune.probes.settings import Settings
from gputune.stats import mean_interval

from .engine import Simulation
from .workload import TICK_S, Disturbance, Workload

CRASH_S = 8.0
TEAR_DOWN_S = 0.15
CHECK_EVERY = 4
STOCKS = 24
RACE_FROM = 6


class SimulatedBench:
    """Runs bursts one after another on one disturbed machine; every burst starts with an empty queue."""

    def __init__(self, workload: Workload, seed: int, disturbance: Disturbance | None = None) -> None:
        self.workload = workload
        self.disturbance = disturbance or Disturbance.draw(workload, seed)
        self.clock_s = 0.0
        self.bursts: list[Burst | Infeasible] = []
        self._seed = seed * 100_003

    def now_s(self) -> float:
        """Return virtual seconds since the start."""
        return self.clock_s

    def measure(
        self,
        settings: Settings,
        purpose: Purpose,
        length: Length | None = None,
        *,
        replay: bool = False,
        abandon_below: float | None = None,
    ) -> Burst | Infeasible:
        """Run one burst in virtual time."""
        self._seed += 1
        length = length or Length()
        result: Burst | Infeasible
        if not replay and self.workload.overflows(settings):
            self.clock_s += CRASH_S
            result = Infeasible(
                settings=settings,
                purpose=purpose,
                reason="RuntimeError: DataLoader worker killed by signal: Bus error (out of shared memory)",
                cost_s=CRASH_S,
            )
        else:
            result = self._burst(settings, purpose, length, replay, abandon_below)
        self.bursts.append(result)
        return result

    def _burst(
        self, settings: Settings, purpose: Purpose, length: Length, replay: bool, abandon_below: float | None
    ) -> Burst:
        start_s = self.clock_s
        run = Simulation(
            self.workload,
            settings,
            self.disturbance,
            start_s=start_s + TEAR_DOWN_S,
            seed=self._seed,
            replay=replay,
        )
        first = previous = run.step()
        warmup = 1
        while warmup < max(length.warmup_batches, settings.num_workers):
            previous, warmup = run.step(), warmup + 1
        measured_from_s = previous.at_s
        period, wait, ready, abandoned = [], [], [], False
        while not abandoned:
            delivery = run.step()
            period.append(delivery.at_s - previous.at_s)
            wait.append(delivery.wait_s)
            ready.append(delivery.ready)
            previous = delivery
            elapsed_s = previous.at_s - measured_from_s
            if elapsed_s >= length.max_s:
                break
            if len(period) % CHECK_EVERY:
                continue
            interval = mean_interval(period, 0.90, max(1, settings.num_workers))
            long_enough = len(period) >= length.min_batches and elapsed_s >= length.min_s
            if long_enough and interval.spread <= length.precision:
                break
            # As in gputune.probes.agent.builder: a race may be lost long before the rate is known.
            losing = abandon_below is not None and interval.low * abandon_below > self.workload.batch_size
            abandoned = losing and len(period) >= max(RACE_FROM, 3 * settings.num_workers)
        self.clock_s = previous.at_s
        return Burst(
            settings=settings,
            purpose=purpose,
            start_s=measured_from_s,
            end_s=previous.at_s,
            swap_s=TEAR_DOWN_S,
            first_batch_s=first.at_s - start_s,
            warmup_batches=warmup,
            period_s=period,
            wait_s=wait,
            ready=ready,
            samples=[self.workload.batch_size] * len(period),
            workers=self._stamps(run, measured_from_s, previous.at_s),
            batch_bytes=self.workload.batch_bytes,
            abandoned=abandoned,
            host=HostUse(other_cpu_cores=self._other_cores(measured_from_s, previous.at_s)),
        )

    def _stamps(self, run: Simulation, from_s: float, to_s: float) -> list[WorkerBatch]:
        put_s = self.workload.worker_put_s if run.workers else 0.0
        return [
            WorkerBatch(
                made.worker,
                made.start_s,
                made.end_s - made.start_s - put_s,
                0.0,
                max(0.0, made.cpu_s - put_s),
                made.idle_s,
            )
            for made in run.finished
            if from_s <= made.end_s <= to_s
        ]

    def _other_cores(self, from_s: float, to_s: float) -> float | None:
        if not self.workload.episodes_visible:
            return None
        ticks = range(int(from_s / TICK_S), int(to_s / TICK_S) + 1)
        trace = self.disturbance.other_cores
        return self.workload.background_cpus + sum(trace[tick % len(trace)] for tick in ticks) / len(ticks)


def true_samples_per_s(workload: Workload, settings: Settings, batches: int = 1200) -> float:
    """Return the sustained rate on an undisturbed machine (0 when it crashes): what a search is judged by.

    A stock of ready batches breathes: 24 times what may be in flight keeps its part of the count below 2 %.
    """
    if workload.overflows(settings):
        return 0.0
    run = Simulation(workload, settings, Disturbance.none(), start_s=0.0, seed=12345, replay=False)
    skip = settings.num_workers * (settings.prefetch_factor or 1) + 3 * settings.num_workers + 20
    batches = max(
        batches * (2 if workload.tail_share else 1), STOCKS * settings.num_workers * (settings.prefetch_factor or 1)
    )
    for _ in range(skip):
        start = run.step()
    for _ in range(batches):
        end = run.step()
    return batches * workload.batch_size / (end.at_s - start.at_s)
