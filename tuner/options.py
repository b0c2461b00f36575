"""What the user asked of a campaign."""

from __future__ import annotations

from typing import Any

import msgspec


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What the user asked of a campaign."""

    budget_s: float = 90.0
    search: bool = True
    restrict: dict[str, tuple[Any, ...]] = {}
    """``--set`` and ``--fix``: the only values to consider for a setting."""
    knobs: dict[str, tuple[str, ...]] = {}
    """The same for names that are no loader settings: knobs of the script, as texts."""
    allow: tuple[str, ...] = ()
    prefer: str = "balanced"
    """``fastest``, ``balanced`` or ``cheapest``: what a recommendation may cost."""
    storage: str = ""
    """A database in which identical machines share one study."""
    warmup: int | None = None
    seed: int = 0
    max_trials: int = 24
