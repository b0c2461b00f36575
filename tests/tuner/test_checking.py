"""A check stops when the answer is clear and goes on to its budget when it is not. In virtual time."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import check_factory as checks
import msgspec
import pytest
import run_factory as factory

from gputune import baseline as baselines
from gputune import gate
from gputune.checking import MAX_ROUNDS, MIN_ROUNDS, Conductor, Request
from gputune.errors import InconclusiveError
from gputune.judging import Verdict
from gputune.probes.burst import Infeasible, Purpose
from gputune.probes.protocol import Hello
from gputune.probes.settings import Settings
from gputune.requirement import parse_all
from gputune.script import Script


class FakeBench:
    """A machine whose speed drifts and jumps; a burst takes a second."""

    def __init__(self, period_s: float, noise: float, seed: int = 0) -> None:
        self.period_s, self.noise, self.clock_s = period_s, noise, 0.0
        self.random, self.orders = random.Random(seed), []

    def start(self) -> Hello:
        site = factory.site(settings=Settings.make(num_workers=2))
        return Hello(protocol=1, environment=factory.environment(), loader=site, loaders=[site])

    def now_s(self) -> float:
        return self.clock_s

    def measure(self, settings: Any, purpose: Any, length: Any, *, replay: bool = False) -> Any:
        self.clock_s += 1.0
        self.orders.append((purpose, settings.num_workers, replay))
        period_s = self.period_s * self.random.gauss(1, self.noise)
        return checks.burst(0.0002 if replay else period_s - checks.STEP_S)


def request(text: str = "", **changes: Any) -> Request:
    values: dict[str, Any] = {
        "script": Script(command=["train.py", "--epochs", "3"], argv=["python", "train.py"], path=None, scope="self"),
        "cwd": Path(), "results_dir": Path(), "name": "train", "budget_s": 30.0,
        "requirements": parse_all([text] if text else []), "hardware": baselines.of_machine(factory.MACHINE),
    }  # fmt: skip
    return Request(**{**values, **changes})


def conducted(bench: FakeBench, asked: Request, older: FakeBench | None = None) -> Conductor:
    start = factory.run(baseline=None, ceiling=None, trials=[], proof=None, recommendation=None)
    conductor = Conductor(bench, older, asked, start, lambda text: None)  # type: ignore[arg-type]
    conductor.start()
    conductor.conduct()
    return conductor


def test_a_clear_answer_ends_the_check_early() -> None:
    bench = FakeBench(0.05, 0.002)
    run = conducted(bench, request("throughput >= 500")).run
    assert len(run.rounds) == MIN_ROUNDS
    assert bench.clock_s < 10


def test_an_open_question_is_measured_until_the_budget_is_over() -> None:
    bench = FakeBench(0.05, 0.01)
    run = conducted(bench, request("throughput >= 640")).run  # exactly what it does
    assert len(run.rounds) > MIN_ROUNDS
    assert 28 <= bench.clock_s <= 31
    assert len(run.rounds) <= MAX_ROUNDS


def test_free_data_is_measured_in_every_round_only_where_it_is_asked_for() -> None:
    rates, shares = FakeBench(0.05, 0.002), FakeBench(0.05, 0.002)
    assert all(r.ceiling is None for r in conducted(rates, request("throughput >= 500")).run.rounds)
    run = conducted(shares, request("starvation < 5%")).run
    assert all(r.ceiling for r in run.rounds)
    assert (Purpose.CEILING, 0, True) in shares.orders  # with no workers, which would only compete
    assert shares.orders[0] == (Purpose.BASELINE, 2, False)  # keeps the batches that are replayed


def test_a_few_seconds_of_budget_still_give_the_least_number_of_rounds() -> None:
    assert len(conducted(FakeBench(0.05, 0.01), request("throughput >= 640", budget_s=0.1)).run.rounds) == MIN_ROUNDS


def test_a_script_that_cannot_be_measured_is_inconclusive() -> None:
    bench = FakeBench(0.05, 0.01)
    bench.measure = lambda settings, purpose, length, replay=False: Infeasible(  # type: ignore[method-assign]
        settings=settings, purpose=purpose, reason="no batch in 20 s"
    )
    with pytest.raises(InconclusiveError, match="no batch in 20 s"):
        conducted(bench, request("throughput >= 1"))


@pytest.mark.parametrize("older", [True, False])
def test_false_alarms_are_rare_and_slow_downs_are_caught(older: bool) -> None:
    """Over seeds, with 1.5 % of noise a burst: no false alarm, 8 % is seldom missed, 30 % never."""
    verdicts: dict[float, list[Verdict]] = {1.0: [], 1.08: [], 1.3: []}
    for slower, found in verdicts.items():
        for seed in range(40):
            before = None
            if not older:
                saved = conducted(FakeBench(0.05, 0.015, 1000 + seed), request(save_baseline=True)).run
                before = baselines.from_run(saved, "train")
            past = FakeBench(0.05, 0.015, 2000 + seed) if older else None
            asked = request("max_regression = 5%", baseline=before, budget_s=45.0)
            run = conducted(FakeBench(0.05 * slower, 0.015, seed), asked, past).run
            found.append(gate.evaluate(run, asked.requirements, before).verdict)
    assert Verdict.FAIL not in verdicts[1.0]
    assert verdicts[1.0].count(Verdict.PASS) >= 32
    assert verdicts[1.08].count(Verdict.PASS) <= 2
    assert verdicts[1.3] == [Verdict.FAIL] * 40


def test_the_older_revision_is_measured_beside_the_new_one() -> None:
    run = conducted(FakeBench(0.06, 0.002), request(), FakeBench(0.05, 0.002, 1)).run
    assert all(entry.against for entry in run.rounds)
    assert gate.evaluate(run, []).verdict is Verdict.FAIL
    assert msgspec.json.decode(msgspec.json.encode(run), type=type(run)) == run
