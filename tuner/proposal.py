"""One setting to measure, why, and for how long. Pure."""

from __future__ import annotations

import msgspec

from gputune.model import Model
from gputune.probes.protocol import Length
from gputune.probes.settings import Settings
from gputune.whatif import HEAVY

LONGEST_S, LONGEST_TAIL_S = 4.0, 8.0
"""Longest burst, ordinarily and with heavy-tailed service times."""
SERVICES = 5
"""A burst lasts this many service times at least, where it may."""


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """One setting to measure and why."""

    settings: Settings
    phase: str
    why: str
    predicted_samples_per_s: float | None = None
    length: Length = Length()
    abandon_below: float | None = None


def length_of(model: Model, settings: Settings, samples_per_s: float) -> Length:
    """Return how long to measure: until the first stock is used up, several rounds, more when times vary."""
    variation, workers = model.variation, settings.num_workers
    stock = workers * ((settings.prefetch_factor or 0) + 1)
    wanted = max(16.0, 2 * workers, (variation / 0.025) ** 2)
    batches_per_s = max(1e-6, samples_per_s / model.samples_per_batch)
    tailed = model.tailed
    longest_s = LONGEST_TAIL_S if variation > HEAVY or tailed else LONGEST_S
    max_s = min(max(2.0, (stock + wanted) / batches_per_s), longest_s)
    # In a short burst a worker ends more short batches than long ones.
    return Length(
        min_batches=min(stock + 16, int(max_s * batches_per_s) + 1),
        min_s=min(LONGEST_S if tailed else 1.0, max_s),
        max_s=min(10.0, max(max_s, SERVICES * model.service_s)),
        precision=0.015,
    )
