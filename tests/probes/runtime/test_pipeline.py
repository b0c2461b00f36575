"""Order, errors and shutdown of the staged pipeline."""

from __future__ import annotations

import gc
import random
import threading
import time
from typing import Any

import pytest

from gputune.probes.runtime.pipeline import Pipeline
from gputune.probes.runtime.stage import Stage, StageError


def no_threads_left(deadline_s: float = 5.0) -> bool:
    ends = time.monotonic() + deadline_s
    while time.monotonic() < ends:
        if not [t for t in threading.enumerate() if t.name.startswith("gputune-pipeline")]:
            return True
        time.sleep(0.01)
    return False


def jitter(item: Any) -> Any:
    time.sleep(random.random() * 0.003)
    return item


@pytest.mark.parametrize("threads", [1, 4])
def test_items_come_in_order_however_long_each_takes(threads: int) -> None:
    pipeline = Pipeline(range(200), [Stage("decode", jitter, threads), Stage("double", lambda x: 2 * x, threads)])
    assert list(pipeline) == [2 * n for n in range(200)]
    assert list(pipeline) == [2 * n for n in range(200)]
    assert len(pipeline) == 200
    assert no_threads_left()


def test_without_order_nothing_is_lost_and_a_slow_item_holds_nobody_up() -> None:
    def slow_first(item: int) -> int:
        time.sleep(0.2 if item == 0 else 0.001)
        return item

    got = list(Pipeline(range(50), [Stage("decode", slow_first, 4)], ordered=False))
    assert sorted(got) == list(range(50))
    assert got[0] != 0


def test_a_slow_first_item_does_not_let_the_rest_pile_up() -> None:
    started: list[int] = []
    gate = threading.Event()

    def wait_for_gate(item: int) -> int:
        started.append(item)
        if item == 0:
            gate.wait(10)
        return item

    run = iter(Pipeline(range(10_000), [Stage("decode", wait_for_gate, 3, buffer=2)], source_buffer=2))
    time.sleep(0.1)
    piled_up = len(started)
    gate.set()
    assert next(run) == 0
    run.close()
    assert piled_up <= 20


def test_an_error_names_the_stage_and_the_sample_after_the_good_ones() -> None:
    def breaks(item: int) -> int:
        if item == 7:
            raise KeyError("no such file")
        return item

    run = iter(Pipeline(range(20), [Stage("read", lambda x: x), Stage("decode", breaks, 2)]))
    with pytest.raises(StageError, match=r"stage 'decode' failed on sample 7: KeyError") as caught:
        list(run)
    assert (caught.value.stage, caught.value.sample) == ("decode", 7)
    assert isinstance(caught.value.__cause__, KeyError)
    with pytest.raises(StopIteration):
        next(run)
    assert no_threads_left()


def test_an_error_of_the_source_is_named_too() -> None:
    def source() -> Any:
        yield 1
        raise OSError("disk gone")

    with pytest.raises(StageError, match="stage 'collect' failed on sample 1: OSError: disk gone"):
        list(Pipeline(source(), [Stage("decode", lambda x: x)]))


@pytest.mark.parametrize("how", ["close", "with", "forget", "exhaust"])
def test_no_thread_outlives_its_run(how: str) -> None:
    run = iter(Pipeline(range(1000) if how != "exhaust" else range(3), [Stage("a", jitter, 3), Stage("b", jitter, 2)]))
    assert next(run) == 0
    if how == "close":
        run.close()
    elif how == "with":
        with run:
            next(run)
    elif how == "forget":
        del run
        gc.collect()
    else:
        assert list(run) == [1, 2]
    assert no_threads_left()


def test_occupancy_names_the_slow_stage() -> None:
    def sleep(seconds: float) -> Any:
        return lambda item: (time.sleep(seconds), item)[1]

    pipeline = Pipeline(
        range(60), [Stage("read", sleep(0.0005)), Stage("decode", sleep(0.01)), Stage("move", sleep(0.0005))]
    )
    list(pipeline)
    assert pipeline.bottleneck() == "decode"
    shares = {o.stage: o.busy_share for o in pipeline.occupancy()}
    assert shares["decode"] > 2 * shares["read"]
    for item in (quick := Pipeline(range(20), [Stage("read", sleep(0.0005))])):
        time.sleep(0.01 + 0 * item)
    assert quick.bottleneck() is None


def test_bad_stages_are_refused_with_their_values() -> None:
    with pytest.raises(ValueError, match="not 0 and 2"):
        Stage("decode", jitter, threads=0)
    with pytest.raises(ValueError, match="different names"):
        Pipeline([], [Stage("a", jitter), Stage("a", jitter)])
