"""What the search is compared with: every strategy maps a bench and a job to trials and a recommendation."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import optuna
from simulator.bench import SimulatedBench

from gputune import stats
from gputune.cost import cost
from gputune.probes.burst import Burst, Infeasible, Purpose
from gputune.probes.protocol import Length
from gputune.probes.settings import Settings
from gputune.record import Trial
from gputune.sampler import suggest
from gputune.search import SearchContext, search
from gputune.space import Space

TRIALS = 16
BURST = Length(max_s=4.0, precision=0.015)
Job = tuple[SimulatedBench, SearchContext]


@dataclass
class Result:
    """What a strategy measured, in order, and what it recommends after each burst."""

    recommended: list[Settings]


def gputune(bench: SimulatedBench, context: SearchContext) -> Result:
    """Run the product's own search."""
    trials: list[Trial] = []
    found = search(bench, context, lambda event: trials.append(event) if isinstance(event, Trial) else None)
    steps = [pick(context, [t.burst for t in trials[: n + 1] if t.burst]) for n in range(len(trials))]
    return Result([*steps[:-1], found.best or context.user])


def pick(context: SearchContext, bursts: Sequence[Burst]) -> Settings:
    """Return the cheapest measured settings within 2 % of the fastest."""
    rates: dict[Settings, float] = {context.user: stats.samples_per_s(context.baseline)}
    for burst in bursts:
        rates[burst.settings] = max(stats.samples_per_s(burst), rates.get(burst.settings, 0.0))
    best = max(rates.values())
    enough = [settings for settings, rate in rates.items() if rate >= 0.98 * best]
    return min(enough, key=lambda s: cost(s, context.worker_bytes, context.space.batch_bytes))


def _measured(
    bench: SimulatedBench, context: SearchContext, wanted: Callable[[list[Burst]], Settings | None]
) -> Result:
    """Measure what ``wanted`` asks for until it asks for nothing."""
    bursts: list[Burst] = []
    steps: list[Settings] = []
    while len(steps) < TRIALS and (settings := wanted(bursts)) is not None:
        result = bench.measure(settings, Purpose.TRIAL, BURST)
        if isinstance(result, Burst):
            bursts.append(result)
        steps.append(pick(context, bursts))
    return Result(steps)


def optuna_strategy(
    make: Callable[[int], optuna.samplers.BaseSampler],
) -> Callable[[SimulatedBench, SearchContext], Result]:
    """Return a strategy that lets one of Optuna's samplers choose over the whole space (``fits`` not
    told)."""

    def run(bench: SimulatedBench, context: SearchContext) -> Result:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        study = optuna.create_study(direction="maximize", sampler=make(context.seed))
        bursts: list[Burst] = []
        steps: list[Settings] = []
        for _ in range(TRIALS):
            trial = study.ask()
            result = bench.measure(suggest(trial, context.space), Purpose.TRIAL, BURST)
            if isinstance(result, Infeasible):
                study.tell(trial, 0.0)
            else:
                bursts.append(result)
                study.tell(trial, stats.samples_per_s(result))
            steps.append(pick(context, bursts))
        return Result(steps)

    return run


def hill_climbing(bench: SimulatedBench, context: SearchContext) -> Result:
    """Double the workers while that gains 3 %, then try a deeper queue, then fewer workers."""
    plan = _climb(context.space, context.user)
    next(plan)

    def wanted(bursts: list[Burst]) -> Settings | None:
        try:
            return plan.send(stats.samples_per_s(bursts[-1]) if bursts else 0.0)
        except StopIteration:
            return None

    return _measured(bench, context, wanted)


def _climb(space: Space, user: Settings):  # type: ignore[no-untyped-def]
    """Yield settings to measure; receive the rate of the last."""
    pin = max(space.choices["pin_memory"])
    ladder = [n for n in space.choices["num_workers"] if n]
    yield user
    best, best_rate, workers = None, 0.0, 1
    while workers <= max(ladder):
        settings = Settings.make(num_workers=workers, prefetch_factor=2, pin_memory=pin)
        rate = yield settings
        if rate < 1.03 * best_rate:
            break
        best, best_rate, workers = settings, rate, workers * 2
    if best is None:
        return
    rate = yield best.replace(prefetch_factor=4)
    low, high = best.num_workers // 2, best.num_workers
    while high - low > 1:
        middle = (low + high) // 2
        rate = yield best.replace(num_workers=middle)
        low, high = (low, middle) if rate >= 0.98 * best_rate else (middle, high)


def grid(bench: SimulatedBench, context: SearchContext) -> Result:
    """Measure an even grid over workers and prefetch, from few to many."""
    pin = max(context.space.choices["pin_memory"])
    workers = [n for n in context.space.choices["num_workers"] if n]
    per_prefetch = max(1, TRIALS // 2)
    chosen = sorted(
        {workers[math.floor(i * (len(workers) - 1) / max(1, per_prefetch - 1))] for i in range(per_prefetch)}
    )
    points = iter([Settings.make(num_workers=n, prefetch_factor=p, pin_memory=pin) for n in chosen for p in (2, 8)])
    return _measured(bench, context, lambda _: next(points, None))


def strategies() -> tuple[dict[str, Callable[[SimulatedBench, SearchContext], Result]], list[str]]:
    """Return the strategies that can run here, and a note for each that cannot."""
    found = {
        "gputune": gputune,
        "random": optuna_strategy(lambda seed: optuna.samplers.RandomSampler(seed=seed)),
        "TPE": optuna_strategy(lambda seed: optuna.samplers.TPESampler(seed=seed, n_startup_trials=5)),
        "hill climbing": hill_climbing,
        "grid": grid,
    }
    notes = []
    try:
        import scipy  # noqa: F401

        found["GP"] = optuna_strategy(lambda seed: optuna.samplers.GPSampler(seed=seed, n_startup_trials=5))
    except ImportError:
        notes.append("GP skipped: scipy is not installed")
    try:
        import cmaes  # noqa: F401

        found["CMA-ES"] = optuna_strategy(lambda seed: optuna.samplers.CmaEsSampler(seed=seed))
    except ImportError:
        notes.append("CMA-ES skipped: cmaes is not installed")
    return found, notes
