"""The seam between deciding and measuring: whoever decides talks to a :class:`Bench`.

The real one conducts a target process; tests and simulations supply their own and run the whole campaign in
virtual time.
"""

from __future__ import annotations

from typing import Protocol

from gputune.probes.burst import Burst, Infeasible, Purpose
from gputune.probes.protocol import Length
from gputune.probes.settings import Settings


class Bench(Protocol):
    """Measures one set of settings at a time."""

    def measure(
        self,
        settings: Settings,
        purpose: Purpose,
        length: Length = Length(),
        *,
        replay: bool = False,
        abandon_below: float | None = None,
    ) -> Burst | Infeasible:
        """Run one burst.

        Args:
            settings: what to run under.
            purpose: recorded with the burst.
            length: how long it may and must be.
            replay: hand out cached batches instead of loading them (the ceiling).
            abandon_below: samples/s; a burst clearly below this may end early.

        Raises:
            gputune.errors.GputuneError: the target is gone for good (script failed, ended, hangs).
        """
        ...

    def now_s(self) -> float:
        """Return the time budgets are counted in (monotonic seconds; virtual in a simulation)."""
        ...
