"""The ledger: two columns that sum, events amortised at their true frequency."""

from __future__ import annotations

import math

import msgspec
import pytest
import run_factory as factory
from hypothesis import given
from hypothesis import strategies as st

from gputune import ledger
from gputune.ledger import Line, Quality
from gputune.probes.burst import Burst, Stall, StallKind
from gputune.probes.settings import Settings


def of(burst: Burst, epoch: int | None = 200) -> ledger.Ledger:
    book = ledger.of_burst(burst, factory.site(batches_per_epoch=epoch))
    assert book is not None
    return book


@pytest.mark.parametrize("name", [name for name, make in factory.ALL.items() if make().baseline])
def test_lines_sum_to_the_wall_time_of_the_burst(name: str) -> None:
    run = factory.ALL[name]()
    book = ledger.of_burst(run.baseline, run.loader)
    assert math.isclose(
        math.fsum(e.burst_s for e in book.entries), run.baseline.end_s - run.baseline.start_s, abs_tol=1e-9
    )
    assert math.isclose(math.fsum(entry.step_s for entry in book.entries), book.step_s, rel_tol=1e-12)
    assert math.isclose(math.fsum(entry.share for entry in book.entries), 1.0, rel_tol=1e-9)


KINDS = st.sampled_from(list(StallKind))


@given(
    st.lists(st.tuples(KINDS, st.floats(1000, 1010), st.floats(0, 3), st.integers(0, 60)), max_size=12),
    st.integers(1, 30),
)
def test_lines_sum_and_none_is_negative_whatever_events_overlap(events: list[tuple], batches: int) -> None:
    stalls = tuple(Stall(*event) for event in sorted(events, key=lambda event: event[1]))
    burst = factory.burst(batches=batches, stalls=stalls)
    book = of(burst)
    assert math.isclose(math.fsum(e.burst_s for e in book.entries), burst.end_s - burst.start_s, abs_tol=1e-6)
    named = [entry for entry in book.entries if entry.line is not Line.WARMUP]
    assert all(entry.step_s >= 0 and entry.burst_s >= 0 for entry in named)


def test_an_epoch_end_counts_once_per_epoch_not_once_per_burst() -> None:
    burst = factory.burst(stalls=(Stall(StallKind.EPOCH, 1002.0, 0.8, 17),))
    entry = of(burst, epoch=400).entry(Line.EPOCH)
    assert entry.step_s == pytest.approx(0.8 / 400)
    assert entry.burst_s == pytest.approx(0.8)
    assert entry.quality is Quality.MEASURED


def test_a_validation_inside_an_epoch_end_is_charged_once() -> None:
    stalls = (Stall(StallKind.EPOCH, 1002.0, 0.8, 17), Stall(StallKind.VALIDATION, 1002.1, 0.5, 17))
    book = of(factory.burst(stalls=stalls))
    assert book.entry(Line.VALIDATION).burst_s == pytest.approx(0.5)
    assert book.entry(Line.EPOCH).burst_s == pytest.approx(0.3)


def test_a_checkpoint_every_ten_batches_is_amortised_over_ten() -> None:
    stalls = tuple(Stall(StallKind.CHECKPOINT, 1000.5 + k, 0.02, 5 + 10 * k) for k in range(3))
    entry = of(factory.burst(stalls=stalls)).entry(Line.CHECKPOINT)
    assert entry.step_s == pytest.approx(0.002)
    assert entry.quality is Quality.MEASURED


def test_a_checkpoint_seen_once_is_only_an_estimate() -> None:
    entry = of(factory.burst(stalls=(Stall(StallKind.CHECKPOINT, 1001.0, 0.02, 9),))).entry(Line.CHECKPOINT)
    assert entry.quality is Quality.ESTIMATED
    assert "unknown" in entry.note


def test_what_did_not_happen_is_missing_and_not_zero_measured() -> None:
    book = of(factory.burst())
    assert book.entry(Line.VALIDATION).quality is Quality.MISSING
    assert book.entry(Line.VALIDATION).note == "none met in 40 batches"


def test_worker_start_up_is_estimated_when_no_epoch_ended() -> None:
    burst = factory.burst(Settings.make(num_workers=4), service_s=0.1)
    entry = of(burst, epoch=100).entry(Line.EPOCH)
    assert entry.quality is Quality.ESTIMATED
    assert entry.step_s == pytest.approx(0.1 / 100, rel=0.05)


def test_persistent_workers_do_not_start_at_each_epoch() -> None:
    burst = factory.burst(Settings.make(num_workers=4, persistent_workers=True), service_s=0.1)
    assert of(burst, epoch=100).entry(Line.EPOCH).quality is Quality.MISSING


def test_events_of_the_warm_up_are_not_counted() -> None:
    burst = factory.burst(warmup_s=2.0, stalls=(Stall(StallKind.LOGGING, 1000.5, 0.5, 1),))
    assert of(burst).entry(Line.LOGGING).burst_s == 0


def test_a_burst_without_batches_has_no_ledger() -> None:
    empty = msgspec.structs.replace(factory.burst(), period_s=[], wait_s=[], samples=[])
    assert ledger.of_burst(empty) is None


def test_copies_that_could_not_be_timed_are_missing_for_the_reason_given() -> None:
    reason = "copies to the device are not timed: RuntimeError: no events"
    burst = msgspec.structs.replace(factory.burst(), missing=[reason, "host syncs are not looked for: x"])
    entry = of(burst).entry(Line.COPY)
    assert (entry.quality, entry.note) == (Quality.MISSING, reason)
