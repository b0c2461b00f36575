"""Hand-made runs of a check: rounds whose rates are known."""

from __future__ import annotations

from typing import Any

import msgspec
import run_factory as factory

from gputune.probes.burst import Burst, HostUse, Purpose
from gputune.record import Run
from gputune.rounds import Round

STEP_S = 0.040


def burst(
    wait_s: float, other_cores: float = 0.1, own_cores: float = 1.0, queued: float | None = None, **values: Any
) -> Burst:
    made = factory.burst(purpose=Purpose.PROOF, step_s=STEP_S, wait_s=wait_s, batches=20, **values)
    host = HostUse(cpu_cores=own_cores, other_cpu_cores=other_cores, queued_share=queued, worker_queued_share=queued)
    return msgspec.structs.replace(made, host=host)


def run(
    *, slower: float = 1.0, rounds: int = 6, noise: float = 0.002, against: bool = False, wait_s: float = 0.010,
    other_cores: float = 0.1, own_cores: float = 1.0, queued: float | None = None, **changes: Any,
) -> Run:  # fmt: skip
    """A check whose steps take ``slower`` times (40 ms + ``wait_s``), give or take ``noise`` from round to round."""
    made = []
    for k in range(rounds):
        drift = 1 + noise * factory.wobble(k + 1)
        period_s = (STEP_S + wait_s) * slower * drift
        user = burst(period_s - STEP_S, other_cores, own_cores, queued)
        old = burst((STEP_S + wait_s) * (1 + noise * factory.wobble(k + 5)) - STEP_S) if against else None
        made.append(Round(user=user, ceiling=burst(0.0002 * drift), against=old))
    values = {"trials": [], "proof": None, "recommendation": None, "baseline": burst(wait_s), "rounds": made}
    return factory.run(**{**values, **changes})
