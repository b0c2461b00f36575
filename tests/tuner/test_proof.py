from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gputune import proof
from gputune.probes.burst import Burst, Infeasible, Purpose, Sameness
from gputune.probes.protocol import LoaderSite
from gputune.probes.settings import Settings
from gputune.record import Pair

USER, CANDIDATE = Settings.make(), Settings.make(num_workers=4)


def burst(settings: Settings, period_s: float) -> Burst:
    return Burst(
        settings=settings, purpose=Purpose.PROOF, start_s=0.0, end_s=period_s * 10, period_s=[period_s] * 10,
        wait_s=[0.0] * 10, samples=[8] * 10,
    )  # fmt: skip


class Scripted:
    """A bench that plays back periods for the user's settings and the candidate's."""

    def __init__(self, user_s, candidate_s, clock_s: float = 0.0) -> None:
        self._periods = {USER: iter(user_s), CANDIDATE: iter(candidate_s)}
        self.asked: list[Settings] = []
        self._clock_s = clock_s

    def now_s(self) -> float:
        return self._clock_s

    def measure(self, settings, purpose, length=None, **options):
        self.asked.append(settings)
        period_s = next(self._periods[settings])
        if period_s is None:
            return Infeasible(settings=settings, purpose=purpose, reason="a worker was killed")
        return burst(settings, period_s)


def test_pairs_alternate_their_order_so_that_drift_cancels():
    bench = Scripted([0.2] * 8, [0.1] * 8)
    found = proof.prove(bench, USER, CANDIDATE, 100.0)
    assert found is not None
    assert bench.asked[:4] == [USER, CANDIDATE, CANDIDATE, USER]
    assert len(found.pairs) == proof.MIN_PAIRS
    assert found.ratio == pytest.approx(2.0)
    assert found.better


def test_a_steady_drift_of_the_machine_changes_nothing():
    drift = [0.1 * 1.05**k for k in range(16)]
    user = [2 * drift[k] for k in (0, 3, 4, 7, 8, 11, 12, 15)]
    candidate = [drift[k] for k in (1, 2, 5, 6, 9, 10, 13, 14)]
    found = proof.prove(Scripted(user, candidate), USER, CANDIDATE, 100.0)
    assert found is not None
    assert found.ratio == pytest.approx(2.0, rel=0.02)


def test_noise_takes_more_pairs_and_a_budget_that_is_over_does_not_save_any():
    noisy = [0.1, 0.13, 0.09, 0.12, 0.1, 0.14, 0.1, 0.11]
    found = proof.prove(Scripted(noisy, noisy[::-1]), USER, CANDIDATE, 100.0)
    assert found is not None
    assert len(found.pairs) == proof.MAX_PAIRS
    assert not found.better
    late = proof.prove(Scripted(noisy, noisy[::-1], clock_s=200.0), USER, CANDIDATE, 100.0)
    assert late is not None
    assert len(late.pairs) == proof.MIN_PAIRS


def test_a_gain_far_beyond_its_uncertainty_needs_no_more_pairs_and_a_small_one_does():
    noisy = [0.1, 0.104, 0.097, 0.103, 0.1, 0.104, 0.097, 0.103]
    large = proof.prove(Scripted([2 * s for s in noisy], noisy[::-1]), USER, CANDIDATE, 100.0)
    small = proof.prove(Scripted([1.08 * s for s in noisy], noisy[::-1]), USER, CANDIDATE, 100.0)
    assert large is not None
    assert small is not None
    assert large.better
    assert len(large.pairs) == proof.MIN_PAIRS
    assert len(small.pairs) > proof.MIN_PAIRS


def test_what_a_knob_changes_is_said_to_be_the_scripts_own():
    user = Settings.make(num_workers=1)
    words = proof.reproducibility(user, user.replace(knobs=(("size", 2),)), LoaderSite(file="x.py", line=1))
    assert words == "identical batches in identical order; what size changes about them is the script's own"


def test_a_candidate_that_dies_in_the_proof_proves_nothing():
    assert proof.prove(Scripted([0.2] * 8, [0.1, None]), USER, CANDIDATE, 100.0) is None


@given(st.lists(st.floats(0.5, 1.99), min_size=4, max_size=8))
def test_better_means_the_interval_excludes_one_and_the_gain_matters(ratios):
    pairs = [Pair(user=burst(USER, 0.1), candidate=burst(CANDIDATE, 0.1 / ratio)) for ratio in ratios]
    found = proof.judged(CANDIDATE, pairs)
    assert found.low <= found.ratio <= found.high
    assert found.better == (found.low > 1 and found.ratio >= 1.02)


@pytest.mark.parametrize(
    ("changes", "iterable", "words"),
    [
        ({"prefetch_factor": 4}, False, "identical batches in identical order"),
        ({"num_workers": 2}, False, "augmentations draw another random stream"),
        ({"num_workers": 2, "persistent_workers": True}, False, "differs from the second epoch on"),
        ({"num_workers": 2}, True, "sharded by worker"),
        ({"num_workers": 2, "in_order": False}, False, "varies from run to run"),
    ],
)
def test_every_change_says_what_it_does_to_the_samples(changes, iterable, words):
    user = Settings.make(num_workers=1)
    loader = msgspec.structs.replace(LoaderSite(file="x.py", line=1), iterable=iterable)
    assert words in proof.reproducibility(user, user.replace(**changes), loader)


@pytest.mark.parametrize(
    ("evidence", "words"),
    [
        ([Sameness.CONTENT, Sameness.CONTENT], "brought the same values"),
        ([Sameness.CONTENT, Sameness.INDICES], "checked by index"),
        ([Sameness.INDICES, Sameness.UNKNOWN], "another random stream"),
    ],
)
def test_the_weakest_evidence_of_the_proof_is_what_is_claimed(evidence, words):
    bursts = [msgspec.structs.replace(burst(CANDIDATE, 0.1), sameness=known) for known in evidence]
    known = proof.sameness([Pair(user=burst(USER, 0.1), candidate=candidate) for candidate in bursts])
    said = proof.reproducibility(USER, CANDIDATE, LoaderSite(file="x.py", line=1), known)
    assert words in said
    assert ("checked" in said) == (known is Sameness.INDICES)
