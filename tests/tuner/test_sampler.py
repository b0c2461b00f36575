import optuna
import pytest

from gputune.probes.settings import Settings
from gputune.record import Machine
from gputune.sampler import ReplaySampler, distributions, parameters, suggest
from gputune.space import build

optuna.logging.set_verbosity(optuna.logging.ERROR)


@pytest.fixture
def space():
    return build(Settings(), Machine(effective_cpus=4.0), accelerator=True)


def test_an_offered_setting_is_what_the_next_trial_proposes(space):
    sampler = ReplaySampler(space)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    offered = Settings.make(num_workers=5, prefetch_factor=4, pin_memory=True)
    sampler.offer(offered)
    assert suggest(study.ask(), space) == offered


def test_an_offer_is_used_once(space):
    sampler = ReplaySampler(space, fallback=optuna.samplers.RandomSampler(seed=1))
    study = optuna.create_study(direction="maximize", sampler=sampler)
    offered = Settings.make(num_workers=5, prefetch_factor=4)
    sampler.offer(offered)
    found = [suggest(study.ask(), space) for _ in range(8)]
    assert found[0] == offered
    assert len(set(found)) > 3


def test_parameters_the_planner_does_not_know_come_from_the_fallback(space):
    sampler = ReplaySampler(space)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    sampler.offer(Settings.make(num_workers=3))
    trial = study.ask()
    assert suggest(trial, space).num_workers == 3
    assert trial.suggest_categorical("their own knob", ["a", "b"]) in ("a", "b")


def test_settings_without_workers_are_valid_parameters(space):
    known = distributions(space)
    values = parameters(Settings(), known)
    assert all(values[name] in known[name].choices for name in known)
