"""The Chrome trace: valid against the trace event format, consistent in time."""

from __future__ import annotations

import gzip
import json
from itertools import pairwise
from typing import Any

import pytest
import run_factory as factory

from gputune.report import trace


def events(name: str = "recommended") -> list[dict[str, Any]]:
    return json.loads(gzip.decompress(trace.render(factory.ALL[name]())))["traceEvents"]


@pytest.mark.parametrize("name", factory.ALL)
def test_every_event_has_the_fields_of_its_phase(name: str) -> None:
    needed = {
        "X": {"name", "cat", "ts", "dur", "pid", "tid"},
        "C": {"name", "ts", "pid", "args"},
        "M": {"name", "pid", "args"},
    }
    for event in events(name):
        assert needed[event["ph"]] <= set(event)
        assert event.get("dur", 0) >= 0
        assert event["ph"] != "C" or all(isinstance(value, (int, float)) for value in event["args"].values())


@pytest.mark.parametrize("name", ["recommended", "with_events", "storage"])
def test_slices_of_one_thread_never_overlap_by_half(name: str) -> None:
    lanes: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for event in events(name):
        if event["ph"] == "X" and event["tid"] != trace.STALLS:
            lanes.setdefault((event["pid"], event["tid"]), []).append((event["ts"], event["ts"] + event["dur"]))
    for spans in lanes.values():
        spans.sort()
        assert all(later[0] >= earlier[1] - 1.0 for earlier, later in pairwise(spans))


def test_it_holds_each_burst_its_workers_and_the_gpu() -> None:
    names = [event["args"]["name"] for event in events() if event["name"] == "process_name"]
    assert len(names) == 2 + 5 + 12
    assert names[0].startswith("baseline: num_workers=0")
    threads = {event["args"]["name"] for event in events() if event["name"] == "thread_name"}
    assert {"training thread", "worker 0", "worker 2", "loading on the training thread"} <= threads
    assert any(event["ph"] == "C" and event["args"]["value"] == 38.0 for event in events())


def test_times_are_microseconds_of_the_measured_ones() -> None:
    waits = [event for event in events() if event["pid"] == 1 and event["name"] == "data wait"]
    assert len(waits) == 40
    assert sum(event["dur"] for event in waits) == pytest.approx(sum(factory.run().baseline.wait_s) * 1e6, rel=1e-6)


def test_the_same_run_gives_the_same_bytes() -> None:
    assert trace.render(factory.run()) == trace.render(factory.run())
