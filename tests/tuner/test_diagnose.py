"""One cause a run, each told from its neighbours by numbers; costs are parts of wall time."""

from __future__ import annotations

import msgspec
import pytest
import run_factory as factory

from gputune import diagnose, hotspots, record
from gputune.cause import Cause, Severity
from gputune.probes.burst import Burst, GpuUse, HostUse, Hotspot, Purpose, Stall, StallKind, SyncPoint, Where
from gputune.probes.settings import Settings

TWO = Settings.make(num_workers=2)
FINE = factory.burst(TWO, wait_s=0.0004, step_s=0.04, service_s=0.03)


def spot(where: Where, function: str, share: float, line: int = 10, via: str = "") -> Hotspot:
    return Hotspot(
        where=where, file="/home/ana/data/coco.py", line=line, function=function, via=via, seconds_share=share,
        seconds=share,
    )  # fmt: skip


def fine(base: Burst = FINE, **changes: object) -> record.Run:
    ceiling = msgspec.structs.replace(factory.CEILING, gpu=GpuUse())
    return msgspec.structs.replace(factory.healthy(), baseline=base, **{"ceiling": ceiling, **changes})


def with_stalls(*stalls: Stall) -> record.Run:
    base = factory.burst(TWO, wait_s=0.0004, step_s=0.04, service_s=0.03, stalls=stalls)
    return fine(base, loader=factory.site(batches_per_epoch=50))


def every_five(kind: StallKind, duration_s: float, wait_s: float = 0.0) -> record.Run:
    return with_stalls(*(Stall(kind, 1000.32 + 0.2 * k, duration_s, 3 + 5 * k, "", wait_s) for k in range(8)))


def first(run: record.Run) -> tuple[Cause, float]:
    found = diagnose.of(run)
    assert [f.severity for f in found].count(Severity.CAUSE) == 1
    assert found[0].severity is Severity.CAUSE
    return found[0].cause, found[0].share


def test_a_fine_loop_with_nothing_else_is_bound_by_its_step() -> None:
    assert first(fine())[0] is Cause.STEP


@pytest.mark.parametrize(
    ("kind", "cause"),
    [
        (StallKind.CHECKPOINT, Cause.CHECKPOINT), (StallKind.LOGGING, Cause.LOGGING),
        (StallKind.COPY, Cause.COPY),
    ],
)  # fmt: skip
def test_an_expensive_event_is_the_cause_where_the_loader_keeps_up(kind: StallKind, cause: Cause) -> None:
    found, share = first(every_five(kind, 0.03))
    assert found is cause
    assert share == pytest.approx(0.03 / 5 / 0.0404, rel=0.05)


def test_a_validation_that_waits_for_its_own_loader_is_told_from_a_long_one() -> None:
    long = with_stalls(Stall(StallKind.VALIDATION, 1001.0, 0.5, 20, "", 0.05))
    starved = with_stalls(Stall(StallKind.VALIDATION, 1001.0, 0.5, 20, "", 0.45))
    assert first(long)[0] is Cause.VALIDATION
    assert first(starved)[0] is Cause.VALIDATION_LOADER


def test_an_event_that_only_another_burst_met_is_counted_at_its_frequency() -> None:
    stall = Stall(StallKind.CHECKPOINT, 1001.0, 2.0, 60)
    other = factory.burst(TWO, Purpose.DIAGNOSIS, wait_s=0.0004, step_s=0.04, service_s=0.03, stalls=(stall,))
    cause, share = first(fine(diagnosis=other))
    assert cause is Cause.CHECKPOINT
    batches = len(FINE.period_s) + len(factory.CEILING.period_s) + len(other.period_s)
    assert share == pytest.approx(2.0 / batches / (0.0404 + 2.0 / batches), rel=0.1)


def starved(base: Burst, **changes: object) -> record.Run:
    return factory.run(baseline=base, trials=[], proof=None, recommendation=None, **changes)


def with_threads(ratio: float, cores: float) -> Burst:
    base = factory.burst(TWO, service_s=0.2, cpu=0.6)
    workers = [msgspec.structs.replace(w, process_cpu_s=ratio * w.cpu_s) for w in base.workers]
    return msgspec.structs.replace(base, workers=workers, host=HostUse(cpu_cores=cores, other_cpu_cores=0.0))


def test_library_threads_are_named_only_where_they_fill_the_machine() -> None:
    machine = record.Machine(cpus=4, effective_cpus=4.0)
    assert first(starved(with_threads(2.2, 3.9), machine=machine))[0] is Cause.OVERSUBSCRIPTION
    assert first(starved(with_threads(2.2, 2.0), machine=machine))[0] is Cause.CPU
    assert first(starved(with_threads(1.0, 3.9), machine=machine))[0] is Cause.CPU


def waiting(workers: int, service_s: float) -> record.Trial:
    return factory.trial(workers, Settings.make(num_workers=workers), "more", service_s=service_s, cpu=0.05)


def test_storage_that_gives_no_more_is_told_from_storage_that_is_far_away() -> None:
    base = factory.burst(TWO, service_s=0.2, cpu=0.05)
    far = [waiting(4, 0.2), waiting(8, 0.21)]
    full = [waiting(4, 0.4), waiting(8, 0.79)]
    assert first(msgspec.structs.replace(starved(base), trials=far))[0] is Cause.STORAGE
    assert first(msgspec.structs.replace(starved(base), trials=full))[0] is Cause.BANDWIDTH


def test_workers_kept_waiting_by_busy_cores_are_not_waiting_for_storage() -> None:
    base = factory.burst(Settings.make(num_workers=6), service_s=0.6, cpu=0.4)
    base = msgspec.structs.replace(base, host=HostUse(cpu_cores=2.0, other_cpu_cores=0.0))
    machine = record.Machine(cpus=2, effective_cpus=2.0)
    assert first(starved(base, machine=machine))[0] is Cause.CORES


def test_the_costliest_function_of_loading_is_named_in_the_cause() -> None:
    spots = [spot(Where.FETCH, "Sharpen.__call__", 0.4), spot(Where.FETCH, "Sharpen.__call__", 0.3, 12),
             spot(Where.FETCH, "Flip.__call__", 0.3)]  # fmt: skip
    base = factory.burst(TWO, service_s=0.2)
    found = diagnose.of(starved(base, diagnosis=msgspec.structs.replace(base, hotspots=spots)))[0]
    assert found.place == "data/coco.py:10 (Sharpen.__call__)"
    assert "70 % of loading" in found.sentence


def test_code_beside_the_model_is_a_cause_and_a_model_alone_is_none() -> None:
    beside = [spot(Where.MAIN, "prepare", 0.6, via="Resize"), spot(Where.STEP, "<module>", 0.4)]
    cause, share = first(fine(diagnosis=msgspec.structs.replace(FINE, hotspots=beside)))
    assert cause is Cause.MAIN_CODE
    assert share == pytest.approx(0.6, abs=0.02)
    full = msgspec.structs.replace(factory.CEILING, gpu=GpuUse(utilization=97.0))
    assert first(fine(ceiling=full, diagnosis=msgspec.structs.replace(FINE, hotspots=beside)))[0] is Cause.STEP
    alone = [spot(Where.STEP, "<module>", 0.98), spot(Where.MAIN, "<module>", 0.02)]
    assert first(fine(diagnosis=msgspec.structs.replace(FINE, hotspots=alone)))[0] is Cause.STEP
    unknown = [spot(Where.MAIN, "<module>", 1.0)]
    assert first(fine(diagnosis=msgspec.structs.replace(FINE, hotspots=unknown)))[0] is Cause.STEP


def test_a_handful_of_samples_names_nothing() -> None:
    few = [msgspec.structs.replace(spot(Where.FETCH, "f", 1.0), seconds=0.05)]
    assert hotspots.loading(msgspec.structs.replace(FINE, hotspots=few)) == []


def test_a_script_without_a_loader_gets_its_lines() -> None:
    run = msgspec.structs.replace(
        factory.no_loader(), alone=[spot(Where.MAIN, "load", 0.8), spot(Where.STEP, "x", 0.2)]
    )
    found = diagnose.of(run)
    assert [f.cause for f in found] == [Cause.NO_LOADER] * 2
    assert "80 %" in found[0].sentence
    assert "coco.py:10 (load)" in found[0].place


def test_without_a_loader_what_keeps_a_script_from_its_model_comes_before_the_model() -> None:
    spots = [spot(Where.STEP, "forward", 0.6), spot(Where.MAIN, "decode", 0.38), spot(Where.MAIN, "print", 0.02)]
    found = diagnose.of(msgspec.structs.replace(factory.no_loader(), alone=spots))
    assert [f.place.split("(")[-1].rstrip(")") for f in found] == ["decode", "forward", "print"]
    assert found[0].share == pytest.approx(0.38)


def test_a_validation_that_waits_costs_what_it_waits_and_not_what_its_model_takes() -> None:
    all_of_it = first(with_stalls(Stall(StallKind.VALIDATION, 1001.0, 0.5, 20, "", 0.05)))[1]
    waiting = first(with_stalls(Stall(StallKind.VALIDATION, 1001.0, 0.5, 20, "", 0.45)))[1]
    assert waiting == pytest.approx(0.9 * all_of_it, rel=0.01)


def reading(base: Burst, stored_bytes: int, asked_bytes: int) -> Burst:
    host = msgspec.structs.replace(base.host, read_bytes=stored_bytes, asked_bytes=asked_bytes)
    return msgspec.structs.replace(base, host=host)


@pytest.mark.parametrize(
    ("stored", "asked", "length", "cause"),
    [
        (400 << 20, 420 << 20, 10_000, Cause.COLD_CACHE),
        (20 << 20, 420 << 20, 10_000, Cause.STORAGE),
        (400 << 20, 420 << 20, 900_000_000, Cause.STORAGE),
        (1 << 10, 2 << 10, 10_000, Cause.STORAGE),
        (400 << 20, 1 << 20, 10_000, Cause.COLD_CACHE),
    ],
    ids=["first pass", "from memory", "larger than memory", "hardly any files", "mapped files"],
)
def test_a_cold_page_cache_is_told_from_slow_storage(stored: int, asked: int, length: int, cause: Cause) -> None:
    base = reading(factory.burst(TWO, service_s=0.2, wait_s=0.06, cpu=0.08), stored, asked)
    assert first(starved(base, loader=factory.site(settings=TWO, dataset_length=length)))[0] is cause


def test_workers_that_mostly_collate_are_told_from_slow_samples() -> None:
    base = factory.burst(TWO, service_s=0.2, wait_s=0.06)
    batches = [msgspec.structs.replace(w, fetch_s=0.05, collate_s=0.15) for w in base.workers]
    cause, _ = first(starved(msgspec.structs.replace(base, workers=batches), loader=factory.site(settings=TWO)))
    assert cause is Cause.COLLATE


def test_scattered_python_between_steps_is_told_from_one_slow_function() -> None:
    step = spot(Where.STEP, "forward", 0.6)
    many = [spot(Where.MAIN, f"callback_{k}", 0.04, line=k) for k in range(10)]
    one = [spot(Where.MAIN, "prepare", 0.4)]
    scattered = first(fine(diagnosis=msgspec.structs.replace(FINE, hotspots=[step, *many])))
    single = first(fine(diagnosis=msgspec.structs.replace(FINE, hotspots=[step, *one])))
    assert (scattered[0], single[0]) == (Cause.PYTHON, Cause.MAIN_CODE)
    assert scattered[1] == pytest.approx(single[1])


def syncing(share: float, utilization: float | None) -> record.Run:
    point = SyncPoint(file="/home/ana/train.py", line=57, function="main", call="item", count=40, share=share)
    base = msgspec.structs.replace(FINE, gpu=GpuUse(utilization=utilization))
    return fine(base, diagnosis=msgspec.structs.replace(FINE, purpose=Purpose.DIAGNOSIS, syncs=[point]))


def test_a_wait_for_the_device_is_named_by_line_and_costs_no_more_than_the_device_idles() -> None:
    found = diagnose.of(syncing(0.5, 70.0))[0]
    assert (found.cause, found.place.split()[0]) == (Cause.SYNC, "ana/train.py:57")
    assert found.share == pytest.approx(0.3, abs=0.02)
    assert first(syncing(0.5, 95.0))[0] is Cause.STEP
    assert first(syncing(0.005, 40.0))[0] is Cause.STEP


def test_a_wait_that_a_few_late_batches_make_is_a_note_and_no_cause() -> None:
    late = factory.burst(TWO, wait_s=0.0004, step_s=0.04, service_s=0.03)
    waits = [0.07 if k in (7, 23) else wait for k, wait in enumerate(late.wait_s)]
    noisy = msgspec.structs.replace(late, wait_s=waits, period_s=[0.04 + wait for wait in waits])
    found = diagnose.of(fine(noisy))
    assert found[0].cause is Cause.STEP
    assert [f.severity for f in found[1:]] == [Severity.NOTE]


def test_a_large_wait_is_a_cause_also_in_a_burst_too_short_for_an_interval() -> None:
    many = Settings.make(num_workers=16)
    short = factory.burst(many, service_s=2.0, wait_s=0.06, batches=12)
    assert first(starved(short, loader=factory.site(settings=many)))[0] in (Cause.CPU, Cause.CORES)


def test_advice_does_not_name_what_is_in_use() -> None:
    ordered, free = (Settings.make(num_workers=8, in_order=in_order) for in_order in (True, False))
    advice = [
        diagnose.of(starved(factory.burst(s, service_s=0.1, wait_s=0.02, slow_every=10)))[0].advice
        for s in (ordered, free)
    ]
    assert "in_order=False" in advice[0]
    assert "in_order" not in advice[1]
    assert advice[1]


def growing(burst: Burst, per_1000_bytes: int) -> Burst:
    consumed = sum(burst.samples) * (burst.end_s - burst.start_s) / sum(burst.period_s)
    host = msgspec.structs.replace(burst.host, memory_growth_bytes=round(per_1000_bytes * consumed / 1000))
    return msgspec.structs.replace(burst, host=host)


@pytest.mark.parametrize(
    ("base", "again", "named"), [(900 << 20, 700 << 20, True), (900 << 20, 1 << 20, False), (9 << 20, 9 << 20, False)]
)
def test_memory_that_will_run_out_is_noted_where_two_bursts_agree(base: int, again: int, named: bool) -> None:
    found = diagnose.of(fine(growing(FINE, base), diagnosis=growing(FINE, again)))
    notes = [f for f in found if f.cause is Cause.MEMORY]
    assert bool(notes) is named
    assert found[0].cause is Cause.STEP
    if notes:
        assert notes[0].severity is Severity.NOTE
        assert "700 MiB per 1,000 samples" in notes[0].sentence
