"""What the stamps of workers amount to: spread of service times, and batches held up by earlier ones."""

from __future__ import annotations

import msgspec
import pytest
import run_factory as factory
from hypothesis import given
from hypothesis import strategies as st

from gputune import evidence
from gputune.probes.burst import Burst, WorkerBatch
from gputune.probes.settings import Settings

TWO = Settings.make(num_workers=2)


def made(*batches: tuple[int, float, float], settings: Settings = TWO) -> Burst:
    """Batches as (worker, begin, duration)."""
    workers = [WorkerBatch(worker, start_s, duration_s, 0.0, 0.0, 0.0) for worker, start_s, duration_s in batches]
    return msgspec.structs.replace(factory.burst(settings), workers=workers)


def test_a_batch_that_overtakes_a_slow_one_waits_for_it() -> None:
    burst = made((0, 0.0, 1.0), (1, 0.1, 0.2), (1, 0.4, 0.2), (0, 1.1, 0.2))
    assert evidence.out_of_order_s(burst) == pytest.approx((0 + 0.7 + 0.4 + 0) / 4)


def test_nothing_is_overtaken_by_a_single_worker_or_where_any_order_will_do() -> None:
    batches = ((0, 0.0, 1.0), (1, 0.1, 0.2))
    assert evidence.out_of_order_s(made(*batches, settings=Settings.make(num_workers=1))) is None
    assert evidence.out_of_order_s(made(*batches, settings=Settings.make(num_workers=2, in_order=False))) is None


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0.001, 10)), min_size=1, max_size=40))
def test_no_batch_waits_longer_than_the_longest_takes(batches: list[tuple[float, float]]) -> None:
    waits = evidence.out_of_order_s(made(*((k % 2, begin, takes) for k, (begin, takes) in enumerate(batches))))
    assert waits is not None
    assert 0 <= waits <= max(takes for _, takes in batches) + 1e-6


def test_equal_service_times_have_no_tail_and_one_slow_batch_in_ten_has_one() -> None:
    assert evidence.p95_over_p50(made(*((0, float(k), 0.1) for k in range(20)))) == pytest.approx(1.0)
    slow = made(*((0, float(k), 0.9 if k % 10 == 0 else 0.1) for k in range(20)))
    assert evidence.p95_over_p50(slow) == pytest.approx(9.0)
    assert evidence.p95_over_p50(made()) is None


def test_a_data_set_is_as_large_as_what_a_burst_read_of_it_says() -> None:
    host = msgspec.structs.replace(factory.burst().host, read_bytes=100 << 20, asked_bytes=120 << 20)
    burst = msgspec.structs.replace(factory.burst(warmup_s=0.0), host=host)
    size = evidence.data_set_bytes(burst, 10 * sum(burst.samples))
    assert size == pytest.approx(1200 << 20, rel=0.02)
    assert evidence.data_set_bytes(burst, None) is None
