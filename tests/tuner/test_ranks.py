"""What several ranks add to a verdict."""

from __future__ import annotations

import msgspec
import run_factory

from gputune import evidence, ranks
from gputune.machine import share
from gputune.probes.burst import RankUse
from gputune.record import Machine


def of(*waits_s: float) -> list[RankUse]:
    return [
        RankUse(rank=rank, samples_per_batch=4.0, wait_s=wait_s, period_s=0.1) for rank, wait_s in enumerate(waits_s)
    ]


def run_with(*waits_s: float, elsewhere: int = 0):
    run = run_factory.run()
    environment = msgspec.structs.replace(run.environment, ranks=len(waits_s), ranks_elsewhere=elsewhere)
    return msgspec.structs.replace(
        run, environment=environment, baseline=msgspec.structs.replace(run.baseline, ranks=of(*waits_s))
    )


def test_one_rank_adds_nothing():
    assert ranks.sentences(run_factory.run()) == []


def test_ranks_that_load_alike_have_no_straggler_and_one_that_loads_slower_is_named():
    assert not any("Straggler" in text for text in ranks.sentences(run_with(0.010, 0.012)))
    named = next(text for text in ranks.sentences(run_with(0.010, 0.060, 0.012)) if "Straggler" in text)
    assert "rank 1 waits 60 ms" in named
    assert "others 11 ms" in named


def test_ranks_that_are_not_measured_are_counted():
    assert any(
        text.startswith("2 ranks of the job not measured") for text in ranks.sentences(run_with(0, 0, elsewhere=2))
    )


def test_cores_are_needed_once_a_rank_and_workers_are_counted_in_each():
    base = run_factory.run().baseline
    double = msgspec.structs.replace(base, ranks=of(0.0, 0.0), samples=[2 * count for count in base.samples])
    ceiling = 1000.0
    workers, cores = evidence.needs(base, ceiling)
    assert evidence.needs(double, 2 * ceiling) == (workers, 2 * cores)


def test_ranks_share_a_machine_evenly():
    machine = Machine(cpus=8, effective_cpus=6.0, memory_available_bytes=100, shm_free_bytes=None)
    mine = share(machine, 2)
    assert (mine.cpus, mine.effective_cpus, mine.memory_available_bytes, mine.shm_free_bytes) == (4, 3.0, 50, None)
    assert share(machine, 1) is machine
