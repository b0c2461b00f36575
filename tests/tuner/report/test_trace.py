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


def test_the_machine_is_sampled_beside_the_threads() -> None:
    counters: dict[str, list[dict[str, Any]]] = {}
    for event in events("detailed"):
        if event["ph"] == "C" and event["pid"] == 1:
            counters.setdefault(event["name"], []).append(event)
    series = factory.detailed().baseline.series
    assert {"GPU utilisation (%)", "CPU cores busy", "core 0 (%)", "core 1 (%)", "memory (MiB)"} <= set(counters)
    assert [e["args"]["value"] for e in counters["core 1 (%)"]] == series.core_busy[1]
    stamps = [event["ts"] for event in counters["GPU utilisation (%)"]]
    assert stamps == sorted(stamps)
    assert stamps[0] >= 0
    marks = {event["name"] for event in events("detailed") if event["tid"] == trace.STALLS}
    assert {"checkpoint", "validation", "epoch", "copy"} <= marks


@pytest.mark.parametrize("name", factory.ALL)
def test_the_document_keeps_to_the_trace_event_format(name: str) -> None:
    """https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU: the object form."""
    text = gzip.decompress(trace.render(factory.ALL[name]())).decode()
    document = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert document["displayTimeUnit"] in ("ms", "ns")
    assert set(document) == {"traceEvents", "displayTimeUnit", "otherData"}
    kinds = {"process_name": "name", "thread_name": "name", "process_sort_index": "sort_index"}
    for event in document["traceEvents"]:
        assert isinstance(event["pid"], int)
        assert isinstance(event["tid"], int)
        if event["ph"] == "M":
            assert set(event["args"]) == {kinds[event["name"]]}
        else:
            assert event["ts"] >= 0
    lanes = {(e["pid"], e["tid"]) for e in document["traceEvents"] if e["ph"] == "X"}
    named = {(e["pid"], e["tid"]) for e in document["traceEvents"] if e["name"] == "thread_name"}
    assert lanes <= named


def test_events_of_the_training_thread_nest_or_follow_each_other() -> None:
    stack: list[float] = []
    spans = [
        (e["ts"], -e["dur"]) for e in events("detailed") if e["tid"] == trace.STALLS and e["pid"] == 1 and "dur" in e
    ]
    for start, negative in sorted(spans):
        while stack and stack[-1] <= start + 0.5:
            stack.pop()
        assert not stack or start - negative <= stack[-1] + 0.5
        stack.append(start - negative)


def test_the_same_run_gives_the_same_bytes() -> None:
    assert trace.render(factory.run()) == trace.render(factory.run())
