"""No stored run, however odd, breaks a view: numbers may be zero, lists empty, parts missing."""

from __future__ import annotations

import msgspec
import run_factory as factory
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gputune import record
from gputune.errors import GputuneError
from gputune.export import FORMATS as EXPORTS
from gputune.export import Format
from gputune.probes.burst import Burst, GpuUse, HostUse, Infeasible, Purpose, Stall, StallKind, WorkerBatch
from gputune.probes.settings import Settings
from gputune.report import FORMATS as REPORTS

SECONDS = st.one_of(st.just(0.0), st.floats(1e-9, 1e4))
MOMENT = st.floats(0, 1e6)
TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
ID = st.from_regex(r"\A[a-z0-9-]{0,9}\Z")
SETTINGS = st.builds(
    Settings.make, num_workers=st.integers(0, 64), prefetch_factor=st.integers(1, 8), pin_memory=st.booleans()
)
WORKERS = st.builds(WorkerBatch, st.integers(0, 80), MOMENT, SECONDS, SECONDS, SECONDS, SECONDS)
STALLS = st.builds(Stall, st.sampled_from(list(StallKind)), MOMENT, SECONDS, st.integers(0, 1000))
MAYBE = st.one_of(st.none(), st.floats(0, 1e3))


@st.composite
def bursts(draw: st.DrawFn) -> Burst:
    count = draw(st.integers(0, 6))
    series = st.lists(SECONDS, min_size=count, max_size=count)
    start_s, wait_s = draw(MOMENT), draw(series)
    return Burst(
        settings=draw(SETTINGS), purpose=Purpose.TRIAL, start_s=start_s, end_s=start_s + draw(SECONDS),
        period_s=[wait + more for wait, more in zip(wait_s, draw(series), strict=True)], wait_s=wait_s,
        samples=[draw(st.integers(1, 64))] * count, ready=draw(st.lists(st.integers(-1, 9), max_size=count)),
        workers=draw(st.lists(WORKERS, max_size=5)), stalls=draw(st.lists(STALLS, max_size=5)),
        first_batch_s=draw(SECONDS), host=HostUse(cpu_cores=draw(MAYBE)), gpu=GpuUse(utilization=draw(MAYBE)),
    )  # fmt: skip


@st.composite
def runs(draw: st.DrawFn) -> record.Run:
    maybe = st.one_of(st.none(), bursts())
    failed = Infeasible(settings=Settings(), purpose=Purpose.TRIAL, reason=draw(TEXT))
    trials = []
    for number, burst in enumerate(draw(st.lists(maybe, max_size=3))):
        trial = record.Trial(number=number, phase="search", settings=draw(SETTINGS), burst=burst)
        trials.append(trial if burst else msgspec.structs.replace(trial, infeasible=failed))
    pairs = [record.Pair(user=draw(bursts()), candidate=draw(bursts())) for _ in range(draw(st.integers(0, 2)))]
    ratio = {"ratio": draw(SECONDS), "low": 0.0, "high": draw(SECONDS)}
    proof = record.Proof(candidate=draw(SETTINGS), pairs=pairs, better=False, **ratio)
    chosen = record.Recommendation(settings=draw(SETTINGS), reproducibility=draw(TEXT), **ratio)
    return record.Run(
        id=draw(ID), created_at=draw(TEXT), command=draw(st.lists(TEXT, max_size=2)), trials=trials,
        status=draw(st.sampled_from(list(record.Status))), missing=draw(st.lists(TEXT, max_size=2)),
        outcome=draw(st.sampled_from(list(record.Outcome))), baseline=draw(maybe), ceiling=draw(maybe),
        proof=draw(st.sampled_from([None, proof])), recommendation=draw(st.sampled_from([None, chosen])),
        loader=draw(st.sampled_from([None, factory.site()])),
        environment=draw(st.sampled_from([None, factory.environment()])),
        machine=record.Machine(effective_cpus=draw(st.one_of(st.none(), st.floats(0.1, 64)))),
    )  # fmt: skip


# Without the explain phase, which traces every line and makes this ten times slower.
@settings(
    max_examples=100,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(runs())
def test_every_view_of_any_run_renders_or_says_why_not(run: record.Run) -> None:
    stored = msgspec.json.decode(record.dump(run), type=record.Run)
    for report in REPORTS.values():
        assert report.render(stored)
    for export in EXPORTS.values():
        said = refusal(export, stored)
        assert said is None or (said.hint and "\n" not in str(said))


def refusal(export: Format, run: record.Run) -> GputuneError | None:
    try:
        export.render(run)
    except GputuneError as error:
        return error
    return None
