"""``gputune.knob``: values only the user's script knows, as settings of a campaign.

In the user's process and in its workers; standard library only. A value comes from the running trial, else from the
environment (:data:`VARIABLE`: trials in fresh processes, ``gputune run``), else it is the first choice.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

VARIABLE = "GPUTUNE_KNOBS"
"""A JSON object with a value for each knob that is not at its default."""
Value = bool | int | float | str
Chosen = TypeVar("Chosen", bool, int, float, str)


class Declared:
    """One knob as the script declared it.

    Args:
        name: what the script calls it.
        choices: its values, the default first.
        value: what it gives now.
    """

    def __init__(self, name: str, choices: tuple[Value, ...], value: Value) -> None:
        self.name, self.choices, self.value = name, choices, value
        self.read_s = 0.0
        """Monotonic time of the last call."""
        self.live = False
        """Read again while training, so that a new value takes effect in the running process."""


_declared: dict[str, Declared] = {}


def knob(name: str, choices: Sequence[Chosen]) -> Chosen:
    """Return the value of a setting that gputune may choose; outside a campaign the first choice.

    Call it where the value is used. A call in the training loop (or in the dataset, once also in the main process)
    follows a trial at once; a value read only at start-up costs each trial a fresh process.

    Args:
        name: letters, digits and underscores, as on the command line: ``--set name=1,2``, ``--fix name=2``.
        choices: the values to try (bool, int, float or str), the default first.

    Raises:
        ValueError: no choices, a name that is none, or another declaration of the same name with other choices.
        TypeError: a choice of another type.
    """
    known = _declared.get(name)
    if known is None:
        known = _declared[name] = _declare(name, tuple(choices))
    elif known.choices != tuple(choices):
        raise ValueError(f"knob {name!r} was declared with {list(known.choices)}, not {list(choices)}")
    known.read_s = time.monotonic()
    return known.value  # type: ignore[return-value]


def _declare(name: str, choices: tuple[Value, ...]) -> Declared:
    if not name.isidentifier():
        raise ValueError(f"knob {name!r}: a name consists of letters, digits and underscores")
    if not choices:
        raise ValueError(f"knob {name!r} needs choices, the default first")
    for choice in choices:
        if not isinstance(choice, (bool, int, float, str)):
            raise TypeError(f"knob {name!r}: a choice is a bool, int, float or str, not {choice!r}")
    wanted = _environment().get(name, choices[0])
    if wanted not in choices:
        print(f"gputune: knob {name} has no choice {wanted!r}; it stays at {choices[0]!r}", file=sys.stderr)
        wanted = choices[0]
    return Declared(name, choices, choices[choices.index(wanted)])


def _environment() -> dict[str, Any]:
    try:
        values = json.loads(os.environ.get(VARIABLE) or "{}")
    except ValueError:
        values = None
    if isinstance(values, dict):
        return values
    print(f"gputune: {VARIABLE} is no JSON object and is ignored", file=sys.stderr)
    os.environ.pop(VARIABLE)
    return {}


def declared(training_since_s: float) -> list[Declared]:
    """Return what the script has declared so far, and settle which knobs follow a trial at once.

    Args:
        training_since_s: monotonic time of the first batch; a knob read later is read while training.
    """
    for known in _declared.values():
        known.live = known.read_s > training_since_s
    return list(_declared.values())


def changed() -> tuple[tuple[str, Value], ...]:
    """Return the knobs that are not at their defaults, by name."""
    return tuple(sorted((k.name, k.value) for k in _declared.values() if k.value != k.choices[0]))


def settle(values: Iterable[tuple[str, Value]]) -> bool:
    """Give knobs these values and all others their defaults; also for workers started from now on.

    Returns:
        False, with nothing changed, where the value of a knob is not read any more: a fresh process has to.
    """
    wanted = dict(values)
    targets = {known: wanted.get(known.name, known.choices[0]) for known in _declared.values()}
    if any(value != known.value and not known.live for known, value in targets.items()):
        return False
    for known, value in targets.items():
        known.value = value
    if wanted or VARIABLE in os.environ:
        os.environ[VARIABLE] = environment(wanted.items())  # for workers that are not forked
    return True


def environment(values: Iterable[tuple[str, Value]]) -> str:
    """Return the text of :data:`VARIABLE` for these values."""
    return json.dumps(dict(values))
