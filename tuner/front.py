"""The Pareto front of a run as people choose from it: what more speed costs. A pure function of the record."""

from __future__ import annotations

import msgspec

from gputune import described
from gputune.record import Run


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """One point of the front."""

    settings: str
    """As shown: without values that are torch's default and not the user's own."""
    samples_per_s: float
    """What is believed of it after all bursts of the search."""
    of_fastest: float
    """Share of the fastest point's speed."""
    cost: float
    """In worker processes: a worker is 1, four GiB of memory are 1."""
    role: str
    """``yours``, ``recommended``, ``fastest``, ``cheapest`` or empty."""


def offers(run: Run) -> list[Offer]:
    """Return the measured settings that nothing beats in both speed and cost, cheapest first."""
    if not run.front or run.loader is None:
        return []
    own = run.loader.settings
    chosen = run.recommendation.settings.replace(knobs=()) if run.recommendation else None
    most = max(point.samples_per_s for point in run.front)
    last = len(run.front) - 1
    found = []
    for number, point in enumerate(run.front):
        named = {"yours": point.settings == own, "recommended": point.settings == chosen}
        named |= {"fastest": number == last, "cheapest": number == 0}
        found.append(
            Offer(
                settings=described.shown(point.settings, own),
                samples_per_s=point.samples_per_s,
                of_fastest=point.samples_per_s / most if most > 0 else 0.0,
                cost=point.cost,
                role=next((role for role, holds in named.items() if holds), ""),
            )
        )
    return found
