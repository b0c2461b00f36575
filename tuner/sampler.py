"""The Optuna sampler: settings the model understands come from the planner, everything else from Optuna's
TPE."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from gputune.probes.settings import NEED_WORKERS, Settings
from gputune.space import Space


class ReplaySampler(BaseSampler):
    """Proposes what :meth:`offer` was given; without an offer every parameter is sampled independently.

    Args:
        space: distributions of the settings.
        seed: of the fallback.
        fallback: sampler of parameters the planner does not know (default: TPE).
    """

    def __init__(self, space: Space, seed: int = 0, fallback: BaseSampler | None = None) -> None:
        self._distributions = distributions(space)
        self._fallback = fallback or TPESampler(seed=seed, n_startup_trials=4)
        self._offer: Settings | None = None

    def offer(self, settings: Settings | None) -> None:
        """Set what the next ``study.ask()`` proposes; ``None`` leaves it to the fallback."""
        self._offer = settings

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the distributions of the settings (Optuna's contract)."""
        return dict(self._distributions) if self._offer is not None else {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the offered settings (Optuna's contract)."""
        offer, self._offer = self._offer, None
        return parameters(offer, search_space) if offer is not None else {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return a value from the fallback (Optuna's contract)."""
        return self._fallback.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Let the fallback keep its books (Optuna's contract)."""
        self._fallback.after_trial(study, trial, state, values)

    def reseed_rng(self) -> None:
        """Reseed the fallback (Optuna's contract)."""
        self._fallback.reseed_rng()


def distributions(space: Space) -> dict[str, CategoricalDistribution]:
    """Return one categorical distribution a setting: the choices are few and unevenly spaced.

    Optuna wants them alike in all trials of a study; what this machine cannot take is left out after sampling.
    """
    stable = {**space.choices, **space.offered}
    return {name: CategoricalDistribution(tuple(choices)) for name, choices in stable.items()}


def suggest(trial: Trial, space: Space) -> Settings:
    """Return the settings of an asked trial (define-by-run: workers first, the rest only where it means
    something)."""
    known = distributions(space)
    values = {"num_workers": trial.suggest_categorical("num_workers", known["num_workers"].choices)}
    for name, distribution in known.items():
        if name == "num_workers" or (values["num_workers"] == 0 and name in NEED_WORKERS):
            continue
        values[name] = trial.suggest_categorical(name, distribution.choices)
    return Settings.make(**values)


def parameters(settings: Settings, search_space: dict[str, Any]) -> dict[str, Any]:
    """Return ``settings`` as Optuna parameters; what has no meaning without workers takes its first
    choice."""
    values = msgspec.structs.asdict(settings)
    return {
        name: values[name] if values[name] in distribution.choices else distribution.choices[0]
        for name, distribution in search_space.items()
    }
