"""A gate fails on what is certain, passes on what is certain, and says so when neither is."""

from __future__ import annotations

import math
from typing import Any

import check_factory as checks
import msgspec
import pytest
import run_factory as factory
from hypothesis import given, settings
from hypothesis import strategies as st

from gputune import baseline as baselines
from gputune import gate, metrics
from gputune.errors import ExitCode
from gputune.judging import Verdict
from gputune.probes.burst import Burst, GpuUse, Infeasible, Stall, StallKind
from gputune.record import Run
from gputune.requirement import METRICS, parse, parse_all


def verdict(run: Run, text: str, before: baselines.Baseline | None = None) -> Verdict:
    return gate.evaluate(run, [parse(text)], before).checks[0].verdict


def baseline(**values: Any) -> baselines.Baseline:
    return baselines.from_run(checks.run(**values), "train")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("throughput >= 600", Verdict.PASS), ("throughput >= 700", Verdict.FAIL),  # 32 samples in 50 ms: 640
        ("of_ceiling >= 0.7", Verdict.PASS), ("of_ceiling >= 90%", Verdict.FAIL),  # 40.2 of 50 ms: 0.804
        ("starvation < 25%", Verdict.PASS), ("starvation < 5%", Verdict.FAIL),
        ("data_wait < 25%", Verdict.PASS), ("data_wait < 3%", Verdict.FAIL),
        ("step_time <= 60ms", Verdict.PASS), ("step_time <= 45ms", Verdict.FAIL),
        ("step_p95 <= 60ms", Verdict.PASS), ("step_p95 <= 48ms", Verdict.FAIL),
        ("throughput >= 640", Verdict.INCONCLUSIVE), ("starvation < 19.6%", Verdict.INCONCLUSIVE),
    ],
)  # fmt: skip
def test_a_threshold_is_judged_by_the_whole_interval(text: str, expected: Verdict) -> None:
    assert verdict(checks.run(), text) is expected


@pytest.mark.parametrize("name", sorted(METRICS))
def test_every_metric_of_a_stored_profile_has_an_interval_or_a_reason(name: str) -> None:
    for run in (make() for make in factory.ALL.values()):
        reading = metrics.read(run, name)
        if reading.estimate is None:
            assert reading.missing
        else:
            assert reading.estimate.low <= reading.estimate.value <= reading.estimate.high


def test_a_missing_metric_is_inconclusive_with_its_reason() -> None:
    found = gate.evaluate(checks.run(missing=["GPU: the script runs on the CPU"]), [parse("gpu_util >= 80%")])
    assert found.checks[0].verdict is Verdict.INCONCLUSIVE
    assert found.checks[0].reason == "GPU: the script runs on the CPU"
    assert found.exit_code is ExitCode.INCONCLUSIVE
    assert found.decided  # more rounds would not help


def test_gpu_utilisation_is_gated_where_it_was_measured() -> None:
    run = checks.run()
    rounds = [
        msgspec.structs.replace(r, user=msgspec.structs.replace(r.user, gpu=GpuUse(utilization=60.0 + k % 2)))
        for k, r in enumerate(run.rounds)
    ]
    run = msgspec.structs.replace(run, rounds=rounds)
    assert verdict(run, "gpu_util >= 50%") is Verdict.PASS
    assert verdict(run, "gpu_util >= 80%") is Verdict.FAIL


def test_a_checkpoint_that_was_never_met_is_not_taken_for_free() -> None:
    found = gate.evaluate(checks.run(), [parse("checkpoint_stall < 1%")]).checks[0]
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "none met in 120 batches" in found.reason


def test_checkpoints_are_counted_at_their_true_frequency() -> None:
    # One of 20 ms every 10 batches of 100 ms: 2 % of the time, in a burst that happens to hold three.
    stalls = tuple(Stall(StallKind.CHECKPOINT, 1001.0 + k, 0.020, 10 + 10 * k) for k in range(3))
    run = factory.run(baseline=factory.burst(stalls=stalls), proof=None)
    assert verdict(run, "checkpoint_stall < 3%") is Verdict.PASS
    assert verdict(run, "checkpoint_stall < 1%") is Verdict.FAIL


def test_the_95th_percentile_needs_enough_steps() -> None:
    run = factory.run(baseline=factory.burst(batches=20), proof=None)
    assert verdict(run, "step_p95 <= 1s") is Verdict.INCONCLUSIVE


@given(st.floats(0.0, 0.02), st.integers(4, 12))
@settings(max_examples=40, deadline=None)
def test_an_unchanged_script_never_fails(noise: float, rounds: int) -> None:
    now = checks.run(noise=noise, rounds=rounds)
    assert verdict(now, "max_regression = 5%", baseline(noise=noise)) is not Verdict.FAIL


@given(st.floats(1.3, 4.0), st.floats(0.0, 0.01), st.booleans())
@settings(max_examples=40, deadline=None)
def test_a_slow_down_by_a_third_is_always_caught(slower: float, noise: float, against: bool) -> None:
    now = checks.run(slower=slower, noise=noise, against=against)
    before = None if against else baseline(noise=noise)
    assert verdict(now, "max_regression = 5%", before) is Verdict.FAIL


def test_what_lies_at_the_limit_is_inconclusive() -> None:
    assert verdict(checks.run(slower=1 / 0.95), "max_regression = 5%", baseline()) is Verdict.INCONCLUSIVE


def test_pairs_are_compared_without_a_baseline_and_five_percent_is_the_default() -> None:
    gated = gate.evaluate(checks.run(slower=1.12, against=True), [])
    assert [check.requirement.text for check in gated.checks] == ["max_regression = 5 %"]
    assert gated.verdict is Verdict.FAIL
    assert gate.evaluate(checks.run(against=True), []).verdict is Verdict.PASS


def test_on_other_hardware_shares_are_gated_and_absolute_numbers_never_fail() -> None:
    before = baseline()
    moved = msgspec.structs.replace(before.fingerprint, cpu_model="EPYC", effective_cpus=64.0)
    before = msgspec.structs.replace(before, fingerprint=moved)
    slow = checks.run(slower=1.5)
    found = gate.evaluate(slow, parse_all(["throughput >= 10000, starvation < 5%"]), before).checks
    verdicts = [(check.requirement.text, check.verdict) for check in found]
    assert verdicts == [
        ("throughput >= 10000", Verdict.INCONCLUSIVE),
        ("starvation < 5%", Verdict.FAIL),
        ("max_regression = 5 %", Verdict.INCONCLUSIVE),
        ("max_regression = 5 % (share of ceiling)", Verdict.FAIL),
    ]
    assert "CPU EPYC -> Xeon 8480" in found[0].reason


def test_a_baseline_of_other_arguments_is_not_compared() -> None:
    now = checks.run(slower=2.0, command=["train.py", "--epochs", "3", "--big"])
    found = gate.evaluate(now, [parse("max_regression = 5%")], baseline()).checks[0]
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "another command" in found.reason
    # Another checkout of the same script is.
    assert verdict(checks.run(command=["/ci/train.py", "--epochs", "3"]), "max_regression = 5%", baseline()) is (
        Verdict.PASS
    )


def test_a_slow_down_that_a_neighbour_explains_is_not_held_against_the_script() -> None:
    busy = {"other_cores": 2.0, "own_cores": 1.0}  # of 8 CPUs: a quarter of the machine
    assert verdict(checks.run(slower=1.15, **busy), "max_regression = 5%", baseline()) is Verdict.INCONCLUSIVE
    assert verdict(checks.run(slower=1.5, **busy), "max_regression = 5%", baseline()) is Verdict.FAIL
    # A neighbour that was there before explains nothing new.
    assert verdict(checks.run(slower=1.15, **busy), "max_regression = 5%", baseline(**busy)) is Verdict.FAIL
    # Nor does one that has nothing to take from a script that mostly sleeps.
    idle = {"other_cores": 2.0, "own_cores": 0.02}
    assert verdict(checks.run(slower=1.15, **idle), "max_regression = 5%", baseline()) is Verdict.FAIL


def test_time_spent_in_line_for_a_cpu_is_taken_out_of_both_sides() -> None:
    beside: dict[str, Any] = {"other_cores": 2.0, "own_cores": 0.0}  # of 8 CPUs
    limit = "max_regression = 5%"
    # A fifth longer, and a sixth of the time spent in line: the script is as fast as it was.
    assert verdict(checks.run(slower=1.2, queued=1 / 6, **beside), limit, baseline(queued=0.0)) is Verdict.PASS
    assert verdict(checks.run(slower=1.2, queued=0.005, **beside), limit, baseline(queued=0.0)) is Verdict.FAIL
    # The baseline's own waiting in line is known as well, so that it hides nothing.
    before = baseline(slower=1.2, queued=1 / 6, **beside)
    assert before.lost_shares == pytest.approx([1 / 6] * 6)
    assert verdict(checks.run(queued=0.0), limit, before) is Verdict.PASS
    assert verdict(checks.run(slower=1.2, queued=0.0), limit, before) is Verdict.FAIL


def test_what_shares_a_core_slows_without_making_anyone_stand_in_line() -> None:
    beside: dict[str, Any] = {"other_cores": 4.0, "own_cores": 1.0, "queued": 0.0}  # of 8 CPUs
    shared = msgspec.structs.replace(factory.MACHINE, threads_per_core=2)
    now, limit = checks.run(slower=1.1, machine=shared, **beside), "max_regression = 5%"
    assert verdict(now, limit, baseline(queued=0.0)) is Verdict.INCONCLUSIVE
    assert verdict(now, limit, baseline(**beside)) is Verdict.FAIL


def test_two_revisions_are_compared_without_what_others_cost_each_of_them() -> None:
    slow = checks.run(slower=1.2, against=True, queued=1 / 6, other_cores=2.0, own_cores=0.0)
    quiet = [msgspec.structs.replace(r, against=undelayed(r.against)) for r in slow.rounds]
    assert verdict(msgspec.structs.replace(slow, rounds=quiet), "max_regression = 5%") is Verdict.PASS
    assert verdict(slow, "max_regression = 5%") is Verdict.FAIL  # of one side it is not known


def undelayed(burst: Burst | Infeasible | None) -> Burst:
    assert isinstance(burst, Burst)
    return msgspec.structs.replace(burst, host=msgspec.structs.replace(burst.host, queued_share=0.0))


def test_a_baseline_recorded_beside_a_neighbour_does_not_hide_a_regression() -> None:
    before = baseline(slower=1.2, other_cores=2.0)  # the neighbour took a fifth of its speed
    found = gate.evaluate(checks.run(slower=1.1), [], before).checks[0]
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "the baseline is too low" in found.reason
    assert verdict(checks.run(slower=0.8), "max_regression = 5%", before) is Verdict.PASS  # fast enough all the same


def test_early_looks_demand_more_than_the_last_one() -> None:
    now, before = checks.run(slower=1.085, noise=0.015, rounds=5), baseline()
    requirement = [parse("max_regression = 5%")]
    early, last = (gate.evaluate(now, requirement, before, level).checks[0] for level in (0.99, 0.95))
    assert early.estimate is not None
    assert last.estimate is not None
    assert early.estimate.low < last.estimate.low < last.estimate.high < early.estimate.high


def test_failure_outweighs_doubt_and_doubt_outweighs_passes() -> None:
    run = checks.run()
    asked = parse_all(["throughput >= 600", "gpu_util >= 80%", "starvation < 5%"])
    assert gate.evaluate(run, asked).exit_code is ExitCode.GATE_FAILED
    assert gate.evaluate(run, asked[:2]).exit_code is ExitCode.INCONCLUSIVE
    assert gate.evaluate(run, asked[:1]).exit_code is ExitCode.OK
    assert gate.evaluate(run, []).exit_code is ExitCode.INCONCLUSIVE


def test_a_run_without_samples_is_inconclusive() -> None:
    found = gate.evaluate(factory.no_loader(), parse_all(["throughput >= 1", "starvation < 5%"]), baseline())
    assert {check.verdict for check in found.checks} == {Verdict.INCONCLUSIVE}
    assert found.decided


def test_an_acknowledged_regression_passes_and_thresholds_do_not() -> None:
    gated = gate.evaluate(checks.run(slower=1.5), [parse("starvation < 5%")], baseline())
    accepted = gate.acknowledge(gated, "larger images")
    assert [check.verdict for check in gated.checks] == [Verdict.FAIL, Verdict.FAIL]
    assert [check.verdict for check in accepted.checks] == [Verdict.FAIL, Verdict.PASS]
    assert "larger images" in accepted.checks[1].reason


def test_an_unknown_interval_is_shown_as_unknown() -> None:
    estimate = metrics.means([0.5], 0.95)
    assert math.isinf(estimate.high)
    found = gate.evaluate(factory.run(baseline=factory.burst(batches=1), proof=None), [parse("throughput >= 1")])
    assert "unknown" in found.checks[0].shown
