"""A setting that changes the samples is vetoed and named; one that only seems to is not."""

from __future__ import annotations

import pytest
from conducting import SHORT

from gputune.probes.burst import Purpose, Sameness
from gputune.probes.protocol import Measure, Measured, TrialFailed
from gputune.probes.settings import Settings

COUNT = 2400


class Told:
    """Conducts a script as a campaign does: baseline, diagnosis under the user's settings, then trials."""

    def __init__(self, conducted) -> None:
        self._conducted, self._id = conducted, 100
        self.own(Purpose.BASELINE)
        self.own(Purpose.DIAGNOSIS)

    def own(self, purpose: Purpose = Purpose.PROOF):
        return self._measure(purpose, self._conducted.hello.loader.settings)

    def trial(self, workers: int):
        return self._measure(Purpose.TRIAL, Settings.make(num_workers=workers))

    def _measure(self, purpose: Purpose, settings: Settings):
        self._id += 1
        length = SHORT if purpose is not Purpose.BASELINE else SHORT.__class__(
            warmup_batches=5, min_batches=6, min_s=0.0, max_s=5.0, precision=10.0
        )  # fmt: skip
        order = Measure(id=self._id, purpose=purpose, settings=settings, length=length, deadline_s=15.0)
        return self._conducted.target.measure(order)

    def seen(self) -> list[int]:
        line = next(line for line in self._conducted.finish().tail.splitlines() if line.startswith("SEEN "))
        return [int(word) for word in line.removeprefix("SEEN ").split(",")]


def test_workers_that_share_an_open_file_are_vetoed_and_no_sample_is_lost(conduct):
    told = Told(conduct("samples.py", "shared"))
    answer = told.trial(4)
    assert isinstance(answer, TrialFailed), answer
    assert "vetoed: the samples change" in answer.infeasible.reason
    assert "open it in __getitem__" in answer.infeasible.reason
    assert told.seen() == list(range(COUNT))


@pytest.mark.parametrize(
    ("which", "known"),
    [
        ("plain", Sameness.CONTENT),
        ("threads", Sameness.CONTENT),
        ("random", Sameness.INDICES),
        ("once", Sameness.INDICES),
    ],
)
def test_what_only_seems_to_change_the_samples_is_not_vetoed_and_the_evidence_is_named(conduct, which, known):
    told = Told(conduct("samples.py", which))
    for workers in (2, 3, 2):
        answer = told.trial(workers)
        assert isinstance(answer, Measured), answer
        assert answer.burst.sameness is known
    assert told.own().burst.sameness is known
    assert told.seen() == list(range(COUNT))


def test_an_iterable_that_asks_who_it_is_and_shards_wrongly_is_vetoed(conduct):
    told = Told(conduct("samples.py", "misread"))
    conducted = told._conducted
    answer = told.trial(3)
    assert isinstance(answer, TrialFailed), answer
    assert "get_worker_info" in answer.infeasible.reason
    assert conducted.hello.gates == []  # nothing but the samples gives it away


def test_an_iterable_that_shards_rightly_is_not_vetoed(conduct):
    assert isinstance(Told(conduct("samples.py", "sharded")).trial(3), Measured)
