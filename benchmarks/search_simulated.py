"""How often, how fast and how dearly each strategy finds settings within 3 % of the true best, in virtual
time.

    PYTHONPATH=.types python benchmarks/search_simulated.py [--only gputune,grid] [--seeds 3] [--out FILE]

Truth is the undisturbed machine over every candidate of the space; it is cached in ``.cache/``. The random
set is drawn from a seed that was fixed before the first run and on which nothing was ever tuned; ``--draw SEED`` draws
another one to develop on. GP and CMA-ES need the extra ``benchmarks``.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import fmean, median

sys.path.insert(0, str(Path(__file__).parent))

import search_strategies
from simulator.bench import STOCKS, SimulatedBench, true_samples_per_s
from simulator.workload import Workload
from simulator.workloads import DESIGNED, RANDOM_SEED, random_workloads

from gputune import space as spaces
from gputune.model import Model
from gputune.probes.burst import Burst, Infeasible, Purpose
from gputune.probes.protocol import Length
from gputune.probes.settings import Settings
from gputune.reading import cpu_bound
from gputune.record import Machine
from gputune.search import SearchContext

ROOT = Path(__file__).parent.parent
CACHE = ROOT / ".cache" / "search_truth.json"
BUDGET_S = 60.0
GOOD = 0.97
BASELINE = Length(min_batches=40, min_s=3.0, max_s=8.0)


class Truth:
    """True rates of one workload, computed once and kept on disk."""

    def __init__(self, workload: Workload, known: dict[str, float]) -> None:
        self.workload, self.known, self.hash = workload, known, hash_of(workload)

    def rate(self, settings: Settings) -> float:
        """Return samples/s on the undisturbed machine."""
        key = f"{self.hash} {settings.replace(persistent_workers=False)}"
        if key not in self.known:
            self.known[key] = true_samples_per_s(self.workload, settings)
        return self.known[key]


def hash_of(workload: Workload) -> str:
    import hashlib

    return hashlib.sha256(repr(workload).encode()).hexdigest()[:16]


def space_of(workload: Workload, baseline: Burst) -> spaces.Space:
    machine = Machine(
        cpus=workload.cpus,
        effective_cpus=float(workload.cpus),
        shm_free_bytes=workload.shm_bytes,
        memory_available_bytes=workload.memory_bytes,
    )
    return spaces.build(
        workload.user,
        machine,
        accelerator=workload.accelerator,
        worker_bytes=workload.worker_bytes,
        batch_bytes=workload.batch_bytes,
        cpu_bound=cpu_bound(baseline, float(workload.cpus)),
    )


def run(workload: Workload, name: str, seed: int, truth: Truth) -> dict[str, object]:
    """Run one strategy once and judge it."""
    bench = SimulatedBench(workload, seed)
    baseline = bench.measure(workload.user, Purpose.BASELINE, BASELINE)
    ceiling = bench.measure(workload.user, Purpose.CEILING, Length(max_s=3.0), replay=True)
    assert isinstance(baseline, Burst)
    assert isinstance(ceiling, Burst)
    space, before, start_s = space_of(workload, baseline), len(bench.bursts), bench.now_s()
    context = SearchContext(
        user=workload.user,
        baseline=baseline,
        ceiling=ceiling,
        space=space,
        seed=seed,
        effective_cpus=float(workload.cpus),
        worker_bytes=workload.worker_bytes,
        deadline_s=start_s + BUDGET_S,
    )
    began = time.perf_counter()
    result = search_strategies.strategies()[0][name](bench, context)
    own_s = time.perf_counter() - began
    candidates = space.candidates()
    best = max(map(truth.rate, candidates))
    cheapest = min((c for c in candidates if truth.rate(c) >= GOOD * best), key=lambda c: (c.num_workers, str(c)))
    recommended = result.recommended or [workload.user]
    good = [truth.rate(settings) >= GOOD * best for settings in recommended]
    lasting = next((n for n in range(len(good)) if all(good[n:])), None)
    final = recommended[-1]
    return {
        "workload": workload.name,
        "unmodelled": workload.unmodelled,
        "seed": seed,
        "strategy": name,
        "share": truth.rate(final) / best,
        "bursts": len(bench.bursts) - before,
        "bursts_to_get_there": None if lasting is None else lasting + 1,
        "burst_s": bench.now_s() - start_s,
        "infeasible": sum(isinstance(b, Infeasible) for b in bench.bursts),
        "excess_workers": final.num_workers - cheapest.num_workers,
        "user_share": truth.rate(workload.user) / best,
        "worse_than_user": truth.rate(final) < 0.97 * truth.rate(workload.user),
        "own_s": own_s,
    }


def job(
    arguments: tuple[Workload, list[tuple[str, int]], dict[str, float]],
) -> tuple[list[dict[str, object]], dict[str, float]]:
    workload, runs, known = arguments
    warnings.filterwarnings("ignore")
    truth = Truth(workload, known)
    return [run(workload, name, seed, truth) for name, seed in runs], truth.known


def summary(rows: list[dict]) -> dict[str, float]:
    good = [row for row in rows if row["share"] >= GOOD]
    there = [row["bursts_to_get_there"] or 999 for row in rows]
    return {
        "runs": len(rows),
        "within_3_percent": len(good) / len(rows),
        "median_share": median(r["share"] for r in rows),
        "worst_share": min(r["share"] for r in rows),
        "median_bursts": median(r["bursts"] for r in rows),
        "median_bursts_to_get_there": median(there),
        "median_burst_s": median(r["burst_s"] for r in rows),
        "infeasible_a_run": fmean(r["infeasible"] for r in rows),
        "excess_workers": fmean(r["excess_workers"] for r in good) if good else float("nan"),
        "worse_than_user": fmean(r["worse_than_user"] for r in rows),
        "own_s": fmean(r["own_s"] for r in rows),
    }


def print_table(summaries: dict[str, dict[str, dict[str, float]]]) -> None:
    print(
        "| set | strategy | runs | within 3 % | worst | bursts | to get there | burst s | infeasible | excess workers |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for label, by_strategy in summaries.items():
        for name, s in by_strategy.items():
            there = "-" if s["median_bursts_to_get_there"] > 900 else f"{s['median_bursts_to_get_there']:.0f}"
            print(
                f"| {label} | {name} | {s['runs']} | {s['within_3_percent']:.0%} | {s['worst_share']:.2f} | "
                f"{s['median_bursts']:.0f} | {there} | {s['median_burst_s']:.0f} | "
                f"{s['infeasible_a_run']:.2f} | {s['excess_workers']:+.1f} |"
            )


def prediction_ms(candidates: int = 4096) -> float:
    """Return milliseconds of one prediction of that many candidates, the best of five."""
    workload = DESIGNED[0]
    bench = SimulatedBench(workload, 0)
    ceiling = bench.measure(workload.user, Purpose.CEILING, Length(max_s=3.0), replay=True)
    baseline = bench.measure(workload.user, Purpose.BASELINE, BASELINE)
    assert isinstance(baseline, Burst)
    assert isinstance(ceiling, Burst)
    model = Model(workload.cpus, ceiling)
    model.add(baseline)
    asked = [Settings.make(num_workers=1 + k % 64, prefetch_factor=1 + k // 64 % 16) for k in range(candidates)]
    times = []
    for _ in range(5):
        began = time.perf_counter()
        model.predict(asked)
        times.append(1e3 * (time.perf_counter() - began))
    return min(times)


def run_all(
    sets: dict[str, list[Workload]], runs: list[tuple[str, int]], jobs: int
) -> dict[str, list[dict[str, object]]]:
    """Run every strategy on every workload of every set; truths go to the cache as they come."""
    known = json.loads(CACHE.read_text()) if CACHE.exists() else {}
    CACHE.parent.mkdir(exist_ok=True)
    rows: dict[str, list[dict[str, object]]] = {}
    with ProcessPoolExecutor(jobs) as pool:
        for label, workloads in sets.items():
            rows[label] = []
            mine = [{k: v for k, v in known.items() if k.startswith(hash_of(w))} for w in workloads]
            asked = [(w, runs, k) for w, k in zip(workloads, mine, strict=True)]
            for done, (found, truths) in enumerate(pool.map(job, asked)):
                rows[label] += found
                if truths.keys() - known.keys():
                    known |= truths
                    CACHE.write_text(json.dumps(known))
                print(f"\r{label} {done + 1}/{len(workloads)} ", end="", file=sys.stderr, flush=True)
            rows[f"{label}, unmodelled mechanisms"] = [r for r in rows[label] if r["unmodelled"]]
    return rows


def misses(rows: dict[str, list[dict]], labels: list[str]) -> list[dict]:
    """Return the runs of our own strategy that ended more than 3 % below the best."""
    return [
        {k: r[k] for k in ("workload", "seed", "share")}
        for label in labels
        for r in rows[label]
        if r["strategy"] == "gputune" and r["share"] < GOOD
    ]


def before(out: Path) -> dict:
    """Return what an earlier call wrote, where it was judged by the same truth."""
    document = json.loads(out.read_text()) if out.exists() else {}
    same = (document.get("random_seed"), document.get("stocks")) == (RANDOM_SEED, STOCKS)
    return document if same else {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="strategies, separated by commas; the others keep what --out says of them")
    parser.add_argument("--seeds", type=int, default=5, help="runs of our own strategy on each workload (others: 1)")
    parser.add_argument("--random", type=int, default=60, help="random workloads")
    parser.add_argument("--draw", type=int, help="another random set, for development: nothing is written")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "reference" / "search_simulated.json")
    options = parser.parse_args()
    found, notes = search_strategies.strategies()
    names = options.only.split(",") if options.only else list(found)
    runs = [(name, 1000 + seed) for name in names for seed in range(options.seeds if name == "gputune" else 1)]
    random = random_workloads(options.random, options.draw or RANDOM_SEED)
    sets = {"random": random} if options.draw else {"designed": list(DESIGNED), "random": random}
    rows = run_all(sets, runs, options.jobs)
    earlier = {} if options.draw else before(options.out)
    summaries = earlier.get("summaries", {})
    for label, of_set in rows.items():
        new = {name: summary([r for r in of_set if r["strategy"] == name]) for name in names}
        summaries[label] = summaries.get(label, {}) | new
    print_table(summaries)
    for note in notes:
        print(note)
    document = {
        "random_seed": RANDOM_SEED,
        "stocks": STOCKS,
        "budget_s": BUDGET_S,
        "prediction_of_4096_candidates_ms": prediction_ms(),
        "summaries": summaries,
        "notes": notes,
        "misses": misses(rows, list(sets)) if "gputune" in names else earlier.get("misses", []),
    }
    print(f"4096 candidates are predicted in {document['prediction_of_4096_candidates_ms']:.1f} ms")
    if options.draw:
        return
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(document, indent=1) + "\n")
    print(f"written to {options.out}")


if __name__ == "__main__":
    main()
