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
    allow: tuple[str, ...] = ()
    warmup: int | None = None
    seed: int = 0
    max_trials: int = 24
