import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gputune import replay


def by_hand(service, busy, receive, workers, prefetch):
    """torch's dispatch, event by event, for one candidate in order."""
    free, handed, now = [0.0] * workers, [], 0.0
    for k, seconds in enumerate(service):
        sent = handed[k - workers * prefetch] if k >= workers * prefetch else 0.0
        free[k % workers] = max(free[k % workers], sent) + seconds
        now = max(now, free[k % workers]) + receive
        handed.append(now)
        now += busy
    skip = len(service) // replay.WARM_UP_SHARE
    return (len(service) - 1 - skip) / (handed[-1] - handed[skip])


def rates(function, service, busy, receive, candidates):
    workers, prefetch = np.array(candidates, dtype=np.int64).T
    ones = np.ones(len(candidates))
    return function(service, np.zeros_like(service), ones, ones, busy * ones, receive * ones, workers, prefetch)


@settings(max_examples=30, deadline=None)
@given(
    candidates=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 5)), min_size=1, max_size=5),
    busy=st.floats(0.001, 0.1),
    seed=st.integers(0, 1000),
)
def test_replaying_many_candidates_at_once_equals_replaying_each_by_hand(candidates, busy, seed):
    service = np.random.default_rng(seed).exponential(0.05, 90)
    together = rates(replay.in_order, service, busy, 0.001, candidates)
    alone = [by_hand(service.tolist(), busy, 0.001, w, p) for w, p in candidates]
    assert together == pytest.approx(alone)


def test_constant_service_gives_the_smaller_of_workers_and_loop():
    service = np.full(300, 0.1)
    found = rates(replay.in_order, service, 0.02, 0.0, [(1, 2), (4, 2), (8, 2)])
    assert found == pytest.approx([10, 40, 50], rel=0.02)


def test_a_slow_batch_holds_up_the_rest_only_in_order():
    service = np.where(np.arange(300) % 25 == 0, 1.0, 0.05)
    ordered = rates(replay.in_order, service, 0.03, 0.0, [(4, 2)])
    free = rates(replay.any_order, service, 0.03, 0.0, [(4, 2)])
    assert free[0] > 1.2 * ordered[0]


def test_a_deeper_queue_never_slows_the_loop():
    service = np.random.default_rng(2).exponential(0.1, 240)
    found = rates(replay.in_order, service, 0.02, 0.0, [(4, p) for p in (1, 2, 4, 8)])
    assert (np.diff(found) > -1e-9).all()
