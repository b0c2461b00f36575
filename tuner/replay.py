"""Replay of measured times through the dispatch of torch's loader, for many candidates at once. Pure.

In order, batch ``k`` is made by worker ``k % workers``, its index is sent when batch ``k - workers *
prefetch`` is handed out, and it is handed out k-th. With ``F`` the end of making and ``C`` the handing-out,
that is

    F[k] = max(F[k - workers], C[k - workers * prefetch]) + service[k]
    C[k] = max(C[k - 1] + busy, F[k]) + receive

(torch/utils/data/dataloader.py, ``_try_put_index`` and ``_next_data``, torch 2.4 to 2.13).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

WARM_UP_SHARE = 3
"""One part in this many of the replayed batches is discarded: the queue starts empty."""


def in_order(
    cpu_s: Floats,
    wait_s: Floats,
    cpu_factor: Floats,
    wait_factor: Floats,
    busy_s: Floats,
    receive_s: Floats,
    workers: Integers,
    prefetch: Integers,
    discard: int | None = None,
) -> Floats:
    """Return batches per second of each candidate when batches are handed out in the sampler's order.

    Args:
        cpu_s: shape (batches,), or (batches, candidates): computing part of each batch's service time.
        wait_s: waiting part, likewise.
        cpu_factor: shape (candidates,): what contention does to the computing part.
        wait_factor: shape (candidates,): what concurrency does to the waiting part.
        busy_s: shape (candidates,): seconds of the main loop between two calls of ``next()``.
        receive_s: shape (candidates,): main-thread seconds to take one finished batch.
        workers: shape (candidates,), at least 1.
        prefetch: shape (candidates,), at least 1.
        discard: batches not counted at the start, at least 1; one third where not given.
    """
    batches, candidates = len(cpu_s), len(workers)
    ahead = np.minimum(workers * prefetch, batches)
    lag = int(np.maximum(ahead, workers).max())
    column = np.arange(candidates)
    # Rows before the first batch are zeros: nothing to wait for.
    finished = np.zeros((batches + lag, candidates))
    handed = np.zeros((batches + lag, candidates))
    flat_finished, flat_handed = finished.reshape(-1), handed.reshape(-1)
    at_finished = (lag - workers) * candidates + column
    at_handed = (lag - ahead) * candidates + column
    asks = np.zeros(candidates)
    start, service = np.empty(candidates), np.empty(candidates)
    for k in range(batches):
        row = finished[lag + k]
        np.maximum(flat_finished.take(at_finished), flat_handed.take(at_handed), out=start)
        np.multiply(cpu_factor, cpu_s[k], out=service)
        start += service
        np.multiply(wait_factor, wait_s[k], out=service)
        np.add(start, service, out=row)
        np.maximum(asks, row, out=asks)
        asks += receive_s
        handed[lag + k] = asks
        asks += busy_s
        at_finished += candidates
        at_handed += candidates
    return _rate(handed[lag:], discard)


def any_order(
    cpu_s: Floats,
    wait_s: Floats,
    cpu_factor: Floats,
    wait_factor: Floats,
    busy_s: Floats,
    receive_s: Floats,
    workers: Integers,
    prefetch: Integers,
    discard: int | None = None,
) -> Floats:
    """Return batches per second when finished batches are handed out first come, first served.

    A slot is one outstanding batch; the slot a batch leaves is filled by the worker that made it, which is
    the one with room. Arguments as for :func:`in_order`.
    """
    batches, candidates = len(cpu_s), len(workers)
    slots = int((workers * prefetch).max())
    column = np.arange(candidates)
    owner = np.arange(slots)[None, :] % workers[:, None]
    free = np.zeros((candidates, int(workers.max())))
    pending = np.full((candidates, slots), np.inf)
    service = cpu_s.reshape(batches, -1) * cpu_factor + wait_s.reshape(batches, -1) * wait_factor
    for slot in range(slots):
        live = slot < workers * prefetch
        who = owner[:, slot]
        free[column, who] += np.where(live, service[slot % batches], 0.0)
        pending[live, slot] = free[live, who[live]]
    handed = np.empty((batches, candidates))
    asks = np.zeros(candidates)
    for k in range(batches):
        slot = pending.argmin(axis=1)
        who = owner[column, slot]
        asks = np.maximum(asks, pending[column, slot]) + receive_s
        handed[k] = asks
        done = np.maximum(free[column, who], asks) + service[(k + slots) % batches]
        free[column, who] = pending[column, slot] = done
        asks = asks + busy_s
    return _rate(handed, discard)


def _rate(handed: Floats, discard: int | None) -> Floats:
    skip = len(handed) // WARM_UP_SHARE if discard is None else discard - 1
    rate: Any = (len(handed) - 1 - skip) / (handed[-1] - handed[skip])
    return np.asarray(rate, dtype=np.float64)
