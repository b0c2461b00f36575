"""The search over the script's own knobs: an Optuna study without a model, under the best loader settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice, product
from typing import Any

import optuna
from optuna.trial import TrialState

from gputune import stats
from gputune.bench import Bench
from gputune.errors import UsageError
from gputune.probes.burst import Burst, Infeasible, Purpose
from gputune.probes.protocol import Knob, Length
from gputune.probes.settings import Settings
from gputune.proposal import Proposal
from gputune.record import Trial
from gputune.study import Store

MAX_TRIALS = 12
"""Up to so many combinations are all tried; of more, single changes first and then what TPE proposes."""
LENGTH = Length(min_batches=16, min_s=1.0, max_s=4.0, precision=0.015)
WORTH = 0.015
"""A combination within this of the script's defaults is no reason to change them."""
Choices = dict[str, tuple[Any, ...]]


def choices(knobs: Sequence[Knob], restrict: Mapping[str, tuple[str, ...]]) -> Choices:
    """Return the values to try for each declared knob.

    Args:
        knobs: what the script declared.
        restrict: ``--set`` and ``--fix`` of names that are no loader settings, as texts.

    Raises:
        UsageError: a name nobody declared, or a value that is none of its choices.
    """
    declared = {known.name: known for known in knobs}
    for name in restrict:
        if name not in declared:
            known = f"the script declares {', '.join(declared)}" if declared else "the script declares no knobs"
            raise UsageError(
                f"there is no setting {name!r}, and {known}", 'declare it: gputune.knob("name", (1, 2, 4))'
            )
    return {
        name: tuple(_value(known, text) for text in restrict[name]) if name in restrict else tuple(known.choices)
        for name, known in declared.items()
    }


def _value(known: Knob, text: str) -> Any:
    for choice in known.choices:
        if text == str(choice) or (isinstance(choice, bool) and text.lower() == str(choice).lower()):
            return choice
    offered = ", ".join(map(str, known.choices))
    example = f"example: --fix {known.name}={known.choices[0]}"
    raise UsageError(f"{known.name}={text}: the script offers {offered}", example)


def search(
    bench: Bench,
    base: Settings,
    base_burst: Burst,
    knobs: Sequence[Knob],
    values: Choices,
    *,
    deadline_s: float,
    known: Sequence[Trial] = (),
    store: Store = Store(),  # noqa: B008  a frozen value
    seed: int = 0,
    tell: Callable[[Proposal | Trial], None] = lambda event: None,
) -> Settings:
    """Return ``base`` with the best knobs found; unchanged where none is clearly better.

    Args:
        bench: measures.
        base: the best loader settings, knobs at their defaults.
        base_burst: their last burst.
        knobs: what the script declared.
        values: see :func:`choices`.
        deadline_s: no trial begins later, on the clock of the bench.
        known: trials of an earlier search of this run.
        store: where the study is kept.
        seed: of the sampler.
        tell: told of each plan and each trial.
    """
    defaults = {known.name: known.choices[0] for known in knobs}
    fixed = any(defaults[name] not in values[name] for name in values)
    best, best_rate = base, 0.0 if fixed else stats.samples_per_s(base_burst)
    known = [trial for trial in known if trial.settings.replace(knobs=()) == base]
    for earlier in known:
        rate = stats.samples_per_s(earlier.burst) if earlier.burst else 0.0
        best, best_rate = (earlier.settings, rate) if rate > (1 + WORTH) * best_rate else (best, best_rate)
    tried = [defaults, *({**defaults, **trial.settings.knob_values} for trial in known)]
    for settings, trial, study in _proposals(tried, values, base, store, seed):
        if bench.now_s() > deadline_s and best_rate:
            study.tell(trial, state=TrialState.FAIL)
            break
        why = "a knob of the script: " + ", ".join(f"{k}={v}" for k, v in settings.knob_values.items())
        tell(Proposal(settings=settings, phase="knob", why=why, length=LENGTH))
        result = bench.measure(settings, Purpose.TRIAL, LENGTH)
        tell(_record(settings, why, result))
        if isinstance(result, Infeasible):
            study.tell(trial, state=TrialState.FAIL)
            continue
        study.tell(trial, rate := stats.samples_per_s(result))
        if rate > (1 + WORTH) * best_rate:
            best, best_rate = settings, rate
    return best


def _proposals(
    tried: list[dict[str, Any]], values: Choices, base: Settings, store: Store, seed: int
) -> Iterator[tuple[Settings, optuna.trial.Trial, optuna.Study]]:
    """Give settings with combinations not seen before: single changes first."""
    defaults, seen = tried[0], list(tried)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True)
    study = optuna.create_study(
        study_name=f"{store.name}-knobs",
        storage=store.open(),
        sampler=sampler,
        direction="maximize",
        load_if_exists=True,
    )
    combinations = [dict(zip(values, picked, strict=True)) for picked in product(*values.values())]
    combinations.sort(key=lambda picked: sum(picked[name] != defaults[name] for name in picked))
    changes = [picked for picked in combinations if picked not in seen]
    if len(changes) > MAX_TRIALS:
        changes = [p for p in changes if sum(p[name] != defaults[name] for name in p) == 1]
    for picked in islice(changes, MAX_TRIALS):
        study.enqueue_trial(picked)
    for _ in range(4 * MAX_TRIALS):
        if len(seen) > MAX_TRIALS or all(picked in seen for picked in combinations):
            return
        trial = study.ask()
        picked = {name: trial.suggest_categorical(name, offered) for name, offered in values.items()}
        if picked in seen:
            study.tell(trial, state=TrialState.PRUNED)
            continue
        seen.append(picked)
        changed = [(name, value) for name, value in picked.items() if value != defaults[name]]
        yield base.replace(knobs=tuple(changed)), trial, study


def _record(settings: Settings, why: str, result: Burst | Infeasible) -> Trial:
    return Trial(
        number=0,
        phase="knob",
        settings=settings,
        why=why,
        burst=result if isinstance(result, Burst) else None,
        infeasible=result if isinstance(result, Infeasible) else None,
    )
