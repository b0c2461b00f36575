import msgspec
import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from simulator.bench import true_samples_per_s
from simulator.workload import Workload

from gputune.probes.burst import Burst, Infeasible
from gputune.probes.settings import Settings
from gputune.proposal import Proposal
from gputune.record import Trial
from gputune.search import SearchContext, search
from gputune.study import JOURNAL_FILE, STUDY_NAME, Store

DECODE = Workload(name="decode", cpus=8, fetch_cpu_s=0.3, gpu_s=0.08, drift=0.005, user=Settings.make(num_workers=1))
FEW_CORES = Workload(
    name="few cores", cpus=4, fetch_cpu_s=0.3, gpu_s=0.025, launch_s=0.005, user=Settings.make(num_workers=2)
)


class CrashingBench:
    """A bench on which anything over three workers dies."""

    def __init__(self, bench):
        self.bench, self.asked = bench, []

    def now_s(self):
        return self.bench.now_s()

    def measure(self, settings, purpose, length=None, **options):
        self.asked.append(settings)
        if settings.num_workers > 3 and not options.get("replay"):
            return Infeasible(settings=settings, purpose=purpose, reason="RuntimeError: out of shared memory")
        return self.bench.measure(settings, purpose, length, **options)


def test_a_starved_job_ends_near_its_ceiling_within_a_few_bursts(job):
    bench, known = job(DECODE)
    found = search(bench, SearchContext(**known))
    best = max(true_samples_per_s(DECODE, s, 400) for s in (Settings.make(num_workers=6, pin_memory=True),))
    assert true_samples_per_s(DECODE, found.best, 400) >= 0.95 * best
    assert len(found.trials) <= 6
    assert "target reached" in found.stopped_because


def test_too_few_cores_end_in_a_plateau_that_names_them(job):
    bench, known = job(FEW_CORES)
    found = search(bench, SearchContext(**known))
    assert "plateau" in found.stopped_because
    assert "this machine gives 4" in found.stopped_because
    assert found.reachable_samples_per_s < 0.7 * 32 / 0.025


def test_the_listener_hears_each_plan_before_its_trial(job):
    bench, known = job(DECODE)
    heard = []
    found = search(bench, SearchContext(**known), heard.append)
    assert [type(event) for event in heard] == [Proposal, Trial] * len(found.trials)
    assert all(plan.settings == trial.settings for plan, trial in zip(heard[::2], heard[1::2], strict=True))


def test_a_crash_excludes_everything_that_needs_as_much(job):
    bench, known = job(DECODE)
    crashing = CrashingBench(bench)
    found = search(crashing, SearchContext(**known))
    failed = [t.settings for t in found.trials if t.infeasible]
    later = crashing.asked[crashing.asked.index(failed[0]) + 1 :]
    first = failed[0]
    assert not [s for s in later if s.num_workers >= first.num_workers and s.prefetch_factor >= first.prefetch_factor]
    assert found.best is not None
    assert found.best.num_workers <= 3


def test_the_deadline_ends_the_search(job):
    bench, known = job(FEW_CORES, budget_s=4.0)
    found = search(bench, SearchContext(**known))
    assert "time budget" in found.stopped_because
    assert len(found.trials) <= 3


def test_the_trial_limit_ends_the_search(job):
    bench, known = job(FEW_CORES)
    found = search(bench, SearchContext(**known, max_trials=1))
    assert len(found.trials) == 1
    assert "trial limit" in found.stopped_because


def test_no_time_at_all_still_answers_with_the_users_settings(job):
    bench, known = job(DECODE, budget_s=0.0)
    found = search(bench, SearchContext(**known))
    assert (found.best, found.trials) == (DECODE.user, [])


def test_the_journal_holds_the_users_settings_first_and_every_trial(job, tmp_path):
    bench, known = job(DECODE)
    found = search(bench, SearchContext(**known, store=Store(folder=tmp_path)))
    storage = JournalStorage(JournalFileBackend(str(tmp_path / JOURNAL_FILE)))
    trials = optuna.load_study(study_name=STUDY_NAME, storage=storage).trials
    assert trials[0].user_attrs["phase"] == "baseline"
    assert trials[0].value == pytest.approx(32 * len(known["baseline"].period_s) / sum(known["baseline"].period_s))
    assert [t.params["num_workers"] for t in trials[1:]] == [t.settings.num_workers for t in found.trials]


def test_expensive_epoch_starts_switch_persistent_workers_on(job):
    bench, known = job(DECODE)
    cheap = search(bench, SearchContext(**known, epoch_start_s=0.001, epoch_s=60.0))
    bench, known = job(DECODE)
    dear = search(bench, SearchContext(**known, epoch_start_s=3.0, epoch_s=60.0))
    assert not any(t.settings.persistent_workers for t in cheap.trials)
    assert all(t.settings.persistent_workers for t in dear.trials if t.settings.num_workers)


def test_copies_worth_pinning_are_found_by_one_replay(job):
    workload = DECODE.but(copy_pageable_s=0.03, copy_pinned_s=0.005)
    bench, known = job(workload)
    found = search(bench, SearchContext(**known))
    assert found.pinned_ceiling is not None
    assert found.best.pin_memory


def test_a_pin_thread_that_cannot_keep_up_is_not_recommended(job):
    workload = DECODE.but(pin_s=0.15, copy_pageable_s=0.012, copy_pinned_s=0.004, user=Settings.make(num_workers=5))
    bench, known = job(workload)
    assert not search(bench, SearchContext(**known)).best.pin_memory


def test_bursts_disturbed_by_other_processes_are_measured_again(job):
    bench, known = job(DECODE)
    calls = []

    class Disturbed(CrashingBench):
        def measure(self, settings, purpose, length=None, **options):
            result = self.bench.measure(settings, purpose, length, **options)
            calls.append(settings)
            if len(calls) == 2:  # the first trial, after the pinning probe
                return msgspec.structs.replace(result, host=msgspec.structs.replace(result.host, other_cpu_cores=6.0))
            return result

    found = search(Disturbed(bench), SearchContext(**known))
    assert calls[1] == calls[2] == found.trials[0].settings


def test_without_stamps_the_fallback_samples_the_space(job):
    bench, known = job(DECODE)

    class Blind(CrashingBench):
        def measure(self, settings, purpose, length=None, **options):
            return msgspec.structs.replace(self.bench.measure(settings, purpose, length, **options), workers=[])

    known["baseline"] = msgspec.structs.replace(known["baseline"], workers=[])
    found = search(Blind(bench), SearchContext(**known, max_trials=6))
    assert found.trials
    assert all(t.why.startswith("sampled") and isinstance(t.burst, Burst) for t in found.trials)
    assert len({t.settings for t in found.trials}) == len(found.trials)


def test_the_pareto_front_rises_in_cost_and_speed(job):
    bench, known = job(FEW_CORES)
    front = search(bench, SearchContext(**known)).pareto
    assert front == sorted(front, key=lambda p: p.cost) == sorted(front, key=lambda p: p.samples_per_s)
