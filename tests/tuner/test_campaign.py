"""The whole campaign in virtual time: a simulated machine behind the bench, everything above it real."""

from __future__ import annotations

import pytest
from simulator.bench import SimulatedBench
from simulator.workload import Workload

from gputune import stats
from gputune.campaign import Campaign
from gputune.cost import cost
from gputune.errors import InconclusiveError
from gputune.options import Options
from gputune.probes.burst import Infeasible, Purpose
from gputune.probes.protocol import Environment, Gate, Hello, LoaderSite
from gputune.probes.settings import Settings
from gputune.record import Machine, Outcome, Run, Status

STARVED = Workload(name="starved", cpus=8, fetch_cpu_s=0.05, fetch_io_s=0.25, gpu_s=0.06, user=Settings.make())
HEALTHY = Workload(
    name="healthy", cpus=8, fetch_cpu_s=0.05, gpu_s=0.2, drift=0.002, user=Settings.make(num_workers=2, pin_memory=True)
)


class Silent:
    """A listener that only remembers the order of phases."""

    def __init__(self) -> None:
        self.phases: list[str] = []

    def phase(self, name: str, run: Run) -> None:
        self.phases.append(name)

    def plan(self, settings: Settings, why: str, run: Run) -> None: ...

    def trial(self, trial, run: Run) -> None: ...

    def note(self, text: str) -> None: ...


def campaign(
    workload: Workload, bench=None, gates: list[Gate] | None = None, run: Run | None = None, **options
) -> tuple[Campaign, Silent]:
    bench = bench or SimulatedBench(workload, 1)
    hello = Hello(
        protocol=1,
        environment=Environment(pid=1, python="3.11", torch="2.13", accelerator=workload.accelerator),
        loader=LoaderSite(file="train.py", line=3, settings=workload.user, batch_size=32, role="train"),
        loaders=[],
        gates=gates or [],
    )
    machine = Machine(
        cpus=workload.cpus,
        effective_cpus=float(workload.cpus),
        shm_free_bytes=workload.shm_bytes,
        memory_available_bytes=workload.memory_bytes,
    )
    run = run or Run(id="x", created_at="2026-11-24T12:00:00+00:00", command=["train.py"], machine=machine)
    listener = Silent()
    return Campaign(bench, hello, run, Options(**options), listener), listener


def test_a_starved_job_is_measured_searched_proved_and_recommended_in_this_order():
    conductor, listener = campaign(STARVED)
    run = conductor.conduct()
    assert listener.phases == ["baseline", "ceiling", "diagnosis", "search", "proof"]
    assert (run.status, run.outcome) == (Status.COMPLETE, Outcome.RECOMMENDED)
    assert run.recommendation is not None
    assert run.recommendation.ratio > 3
    assert run.proof is not None
    assert [pair.user.settings for pair in run.proof.pairs] == [STARVED.user] * len(run.proof.pairs)
    assert set(run.phases_s) == {"baseline", "ceiling", "diagnosis", "search", "proof"}


def test_a_healthy_job_ends_after_the_ceiling_without_a_search():
    conductor, listener = campaign(HEALTHY)
    run = conductor.conduct()
    assert listener.phases == ["baseline", "ceiling", "diagnosis"]
    assert run.outcome is Outcome.NOTHING_TO_GAIN
    assert run.recommendation is None


def test_without_a_search_the_measurements_stand_alone():
    conductor, listener = campaign(STARVED, search=False)
    run = conductor.conduct()
    assert listener.phases == ["baseline", "ceiling", "diagnosis"]
    assert (run.status, run.outcome) == (Status.COMPLETE, Outcome.UNKNOWN)


def test_a_gate_is_never_crossed():
    gate = Gate(setting="num_workers", allowed=[0], reason="the dataset holds an open file")
    conductor, _ = campaign(STARVED, gates=[gate])
    run = conductor.conduct()
    assert all(trial.settings.num_workers == 0 for trial in run.trials)
    assert run.recommendation is None


def test_only_the_values_the_user_gave_are_tried():
    conductor, _ = campaign(STARVED, restrict={"num_workers": (0, 2), "pin_memory": (False,)})
    run = conductor.conduct()
    assert run.trials
    assert all(trial.settings.num_workers in (0, 2) and not trial.settings.pin_memory for trial in run.trials)


class NoBetter:
    """A bench on which a candidate shines in its trials and is no faster in the proof."""

    def __init__(self, workload: Workload) -> None:
        self._bench, self._user = SimulatedBench(workload, 3), workload.user

    def now_s(self) -> float:
        return self._bench.now_s()

    def measure(self, settings, purpose, *arguments, **options):
        return self._bench.measure(self._user if purpose is Purpose.PROOF else settings, purpose, *arguments, **options)


def test_what_is_not_proved_is_not_recommended():
    conductor, _ = campaign(STARVED, bench=NoBetter(STARVED))
    run = conductor.conduct()
    assert run.outcome is Outcome.NOT_PROVED
    assert run.recommendation is None
    assert run.proof is not None
    assert not run.proof.better


class Failing:
    """A bench that cannot even run the user's own settings."""

    def now_s(self) -> float:
        return 0.0

    def measure(self, settings, purpose, *arguments, **options):
        return Infeasible(settings=settings, purpose=purpose, reason="it hangs")


def test_a_baseline_that_cannot_be_measured_ends_the_campaign_and_says_why():
    conductor, _ = campaign(STARVED, bench=Failing())
    with pytest.raises(InconclusiveError, match="it hangs"):
        conductor.conduct()
    assert conductor.run.status is Status.INTERRUPTED


class Gone:
    """A bench whose target dies for good after a number of bursts."""

    def __init__(self, workload: Workload, after: int) -> None:
        self._bench, self._left = SimulatedBench(workload, 1), after

    def now_s(self) -> float:
        return self._bench.now_s()

    def measure(self, *arguments, **options):
        self._left -= 1
        if self._left < 0:
            raise InconclusiveError("gone")
        return self._bench.measure(*arguments, **options)


def test_what_was_learnt_before_the_target_died_is_kept():
    for after in range(1, 9):
        conductor, _ = campaign(STARVED, bench=Gone(STARVED, after))
        try:
            conductor.conduct()
        except InconclusiveError:
            known = conductor.run
            assert known.baseline is not None
            assert known.recommendation is None
            assert known.status is Status.INTERRUPTED
    assert stats.samples_per_s(conductor.run.baseline) > 0


class Counting:
    """A bench that counts what it is asked for."""

    def __init__(self, workload: Workload) -> None:
        self._bench, self.asked = SimulatedBench(workload, 1), []

    def now_s(self) -> float:
        return self._bench.now_s()

    def measure(self, settings, purpose, *arguments, **options):
        self.asked.append((settings, purpose))
        return self._bench.measure(settings, purpose, *arguments, **options)


@pytest.mark.parametrize("after", [2, 4, 6])
def test_a_run_that_was_interrupted_goes_on_without_measuring_anything_again(after):
    conductor, _ = campaign(STARVED, bench=Gone(STARVED, after))
    with pytest.raises(InconclusiveError):
        conductor.conduct()
    known = conductor.run
    bench = Counting(STARVED)
    conductor, listener = campaign(STARVED, bench=bench, run=known)
    run = conductor.conduct()
    assert (run.status, run.outcome) == (Status.COMPLETE, Outcome.RECOMMENDED)
    assert run.baseline == known.baseline
    assert "baseline" not in listener.phases
    assert run.trials[: len(known.trials)] == known.trials
    assert Purpose.BASELINE not in [purpose for _, purpose in bench.asked]


def test_time_spent_before_an_interruption_is_not_given_twice():
    conductor, _ = campaign(STARVED, bench=Gone(STARVED, 4))
    with pytest.raises(InconclusiveError):
        conductor.conduct()
    spent_s = sum(conductor.run.phases_s.values())
    again, _ = campaign(STARVED, run=conductor.run)
    assert again._deadline_s == pytest.approx(Options().budget_s - spent_s)


def test_the_front_of_speed_against_cost_is_in_the_record_cheapest_first():
    conductor, _ = campaign(STARVED)
    front = conductor.conduct().front
    assert front
    assert [p.cost for p in front] == sorted(p.cost for p in front)
    assert [p.samples_per_s for p in front] == sorted(p.samples_per_s for p in front)


def test_cheapest_never_costs_more_than_fastest():
    costs = {}
    for prefer in ("cheapest", "fastest"):
        conductor, _ = campaign(STARVED, prefer=prefer)
        chosen = conductor.conduct().recommendation
        assert chosen is not None
        costs[prefer] = cost(chosen.settings)
    assert costs["cheapest"] <= costs["fastest"]
