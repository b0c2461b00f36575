"""Checkpoints off the training thread, switched on and off in a running target."""

from __future__ import annotations

from pathlib import Path

import pytest

from gputune import cycles
from gputune.probes.burst import Burst, Purpose, StallKind
from gputune.probes.protocol import Length, Measure, TrialFailed
from gputune.probes.settings import Settings

THREE_SAVES = Length(warmup_batches=1, min_batches=6, min_s=0.0, max_s=60.0, checkpoints=3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    where = tmp_path / "out"
    where.mkdir()
    return where


def fastest_call_s(burst: Burst) -> float:
    return min(stall.duration_s for stall in burst.stalls[1:] if stall.kind is StallKind.CHECKPOINT)


@pytest.mark.heavy
def test_a_burst_holds_the_checkpoints_it_was_asked_for_and_saving_switches_between_bursts(conduct, folder):
    conducted = conduct("checkpointing.py", folder, 100_000)
    calls = {}
    for kind in ("off", "thread", "process", "off"):
        burst = conducted.burst(async_checkpoint=kind, length=THREE_SAVES)
        found = cycles.of_burst(burst)
        assert found is not None
        assert found.count == 2
        assert found.batches == 24, "the target saves every 12 batches"
        calls.setdefault(kind, []).append(fastest_call_s(burst))
    assert min(calls["off"]) > 1.3 * min(*calls["thread"], *calls["process"])


@pytest.mark.heavy
def test_a_write_that_fails_behind_the_loop_fails_the_trial_and_not_the_script(conduct, folder):
    conducted = conduct("checkpointing.py", folder, 100_000, "lose")
    order = Measure(
        id=77, purpose=Purpose.TRIAL, settings=Settings(async_checkpoint="thread"),
        length=Length(warmup_batches=1, min_batches=10**6, min_s=60.0, max_s=60.0),
    )  # fmt: skip
    answer = conducted.target.measure(order)
    assert isinstance(answer, TrialFailed), answer
    assert "AsyncSaveError" in answer.infeasible.reason
    assert conducted.burst().settings.async_checkpoint == "off"
