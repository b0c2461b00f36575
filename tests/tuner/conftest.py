"""Makes the simulator importable and gives tests one finished simulated job."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))


@pytest.fixture
def job() -> Callable[..., tuple[Any, dict[str, Any]]]:
    """Return a function from a workload to its bench and the arguments of a search context."""
    from simulator.bench import SimulatedBench

    from gputune import space as spaces
    from gputune.probes.burst import Purpose
    from gputune.probes.protocol import Length
    from gputune.reading import cpu_bound
    from gputune.record import Machine

    def make(workload: Any, seed: int = 0, budget_s: float = 60.0) -> tuple[Any, dict[str, Any]]:
        bench = SimulatedBench(workload, seed)
        baseline = bench.measure(workload.user, Purpose.BASELINE, Length(min_batches=40, min_s=3.0, max_s=8.0))
        ceiling = bench.measure(workload.user, Purpose.CEILING, Length(max_s=3.0), replay=True)
        machine = Machine(
            effective_cpus=float(workload.cpus),
            shm_free_bytes=workload.shm_bytes,
            memory_available_bytes=workload.memory_bytes,
        )
        space = spaces.build(
            workload.user,
            machine,
            accelerator=workload.accelerator,
            worker_bytes=workload.worker_bytes,
            batch_bytes=workload.batch_bytes,
            cpu_bound=cpu_bound(baseline, float(workload.cpus)),
        )
        return bench, {
            "user": workload.user,
            "baseline": baseline,
            "ceiling": ceiling,
            "space": space,
            "effective_cpus": float(workload.cpus),
            "worker_bytes": workload.worker_bytes,
            "deadline_s": bench.now_s() + budget_s,
        }

    return make
