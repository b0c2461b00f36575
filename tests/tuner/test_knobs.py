"""The script's own knobs as settings of the study: in virtual time, and in real processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import optuna
import pytest
import run_factory as factory

from gputune import config, knobs, stats
from gputune.errors import UsageError
from gputune.export import env, toml
from gputune.probes.burst import Burst, Infeasible, Purpose
from gputune.probes.protocol import Knob, Length
from gputune.probes.settings import Settings
from gputune.record import Recommendation, Trial
from gputune.report import tables
from gputune.script import parse
from gputune.study import Store
from gputune.target_bench import TargetBench

TARGET = Path(__file__).parents[1] / "targets" / "knobs.py"
SHORT = Length(warmup_batches=1, min_batches=8, min_s=0.0, max_s=5.0, precision=10.0)
OWN = Settings.make(num_workers=2)
DEPTH, CACHE = Knob(name="depth", choices=[1, 2, 4], live=True), Knob(name="cache", choices=[False, True], live=False)


class ByKnob:
    """A machine on which a step takes 40 ms, less 5 ms a depth, and 10 ms less with the cache; depth 4 crashes."""

    def __init__(self) -> None:
        self.clock_s, self.measured = 0.0, [OWN]

    def now_s(self) -> float:
        return self.clock_s

    def measure(self, settings, purpose, length=SHORT, **options) -> Burst | Infeasible:
        self.clock_s += 2.0
        self.measured.append(settings)
        values = settings.knob_values
        if values.get("depth") == 4:
            return Infeasible(settings=settings, purpose=purpose, reason="out of memory")
        step_s = 0.040 - 0.005 * int(values.get("depth", 1)) - 0.010 * bool(values.get("cache"))
        return factory.burst(settings, purpose, step_s=step_s, wait_s=0.0, spread=0.0)


def tuned(*known: Knob, deadline_s: float = 1e9, restrict=None) -> tuple[Settings, ByKnob, list[Trial]]:
    bench, trials = ByKnob(), []
    best = knobs.search(
        bench, OWN, factory.burst(OWN, step_s=0.035, wait_s=0.0, spread=0.0), known,
        knobs.choices(known, restrict or {}), deadline_s=deadline_s,
        tell=lambda event: trials.append(event) if isinstance(event, Trial) else None,
    )  # fmt: skip
    return best, bench, trials


def test_every_combination_of_few_knobs_is_tried_once_single_changes_first():
    best, bench, trials = tuned(DEPTH, CACHE)
    assert best.knob_values == {"depth": 2, "cache": True}
    assert best.replace(knobs=()) == OWN
    assert len(bench.measured) == len(set(bench.measured)) == 6
    assert all(len(settings.knob_values) == 1 for settings in bench.measured[1:4])
    assert sum(trial.infeasible is not None for trial in trials) == 2


def test_many_combinations_are_left_to_tpe_and_still_end():
    many = [Knob(name=f"k{n}", choices=[1, 2, 3], live=True) for n in range(5)]
    _, bench, _ = tuned(*many)
    assert len(bench.measured) - 1 == knobs.MAX_TRIALS


def test_only_the_values_the_user_gave_are_tried_and_a_fixed_knob_is_kept():
    best, bench, _ = tuned(DEPTH, CACHE, restrict={"depth": ("1", "2"), "cache": ("false",)})
    assert {s.knob_values.get("depth") for s in bench.measured[1:]} == {2}
    assert best.knob_values == {"depth": 2}
    best, _, _ = tuned(DEPTH, restrict={"depth": ("2",)})
    assert best.knob_values == {"depth": 2}


def test_no_trial_begins_after_the_deadline():
    _, bench, _ = tuned(DEPTH, CACHE, deadline_s=3.0)
    assert len(bench.measured) - 1 == 2


@pytest.mark.parametrize(
    ("restrict", "message"), [({"colour": ("red",)}, "no setting 'colour'.*depth"), ({"depth": ("9",)}, "1, 2, 4")]
)
def test_a_wrong_name_or_value_says_what_the_script_declares(restrict, message):
    with pytest.raises(UsageError, match=message):
        knobs.choices([DEPTH], restrict)


def test_the_study_with_its_failed_trials_is_kept_in_the_runs_folder(tmp_path):
    store = Store(folder=tmp_path)
    burst = factory.burst(OWN, step_s=0.035, wait_s=0.0, spread=0.0)
    knobs.search(ByKnob(), OWN, burst, [DEPTH], knobs.choices([DEPTH], {}), deadline_s=1e9, store=store)
    study = optuna.load_study(study_name="gputune-knobs", storage=store.open())
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "FAIL"]


def test_a_recommended_knob_is_exported_beside_the_loaders_and_read_again():
    chosen = Recommendation(
        settings=OWN.replace(knobs=(("depth", 2), ("mode", "it's"))), ratio=2.0, low=1.9, high=2.1, reproducibility=""
    )
    run = msgspec.structs.replace(factory.run(), recommendation=chosen)
    made = config.from_run(run)
    assert made.knobs == {"depth": 2, "mode": "it's"}
    assert made.loaders[0].settings == OWN
    assert config.parse(toml.render(run).encode(), ".toml", "x") == made
    assert """GPUTUNE_KNOBS='{"depth": 2, "mode": "it'"'"'s"}'""" in env.render(run)


def test_a_proved_knob_is_a_row_of_before_and_after():
    run = factory.run()
    assert run.proof is not None
    proof = msgspec.structs.replace(run.proof, candidate=OWN.replace(knobs=(("depth", 2),)))
    rows = {row.name: (row.before, row.after) for row in tables.changes(msgspec.structs.replace(run, proof=proof))}
    assert rows["depth"] == ("default", "2")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[TargetBench]:
    made = TargetBench(parse([str(TARGET)], None), cwd=tmp_path, log_folder=tmp_path)
    yield made
    made.stop()


def period_s(result: Burst | Infeasible) -> float:
    assert isinstance(result, Burst), result
    return sum(result.period_s) / len(result.period_s)


def test_a_live_knob_is_swapped_and_one_read_at_start_up_gets_a_fresh_process(bench):
    hello = bench.start()
    own = hello.loader.settings
    assert {(k.name, tuple(k.choices), k.live) for k in hello.knobs} == {
        ("start_ms", (16, 2), False),
        ("step_ms", (20, 4, 2), True),
    }
    slow = period_s(bench.measure(own, Purpose.BASELINE, SHORT))
    pid = bench._target.pid
    quick = bench.measure(own.replace(knobs=(("step_ms", 2),)), Purpose.TRIAL, SHORT)
    assert bench._target.pid == pid, "swapped in the running process"
    assert period_s(quick) < 0.8 * slow
    both = bench.measure(own.replace(knobs=(("start_ms", 2), ("step_ms", 2))), Purpose.TRIAL, SHORT)
    assert bench._target.pid != pid
    assert period_s(both) < 0.7 * period_s(quick)
    assert stats.samples_per_s(both) > 0
    again = period_s(bench.measure(own, Purpose.BASELINE, SHORT))
    assert again > 0.7 * slow, "back at the defaults, in a process of their own"
