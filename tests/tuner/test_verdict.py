"""The verdict: one cause, numbers that follow from the run, advice that fits what the user has."""

from __future__ import annotations

import msgspec
import pytest
import run_factory as factory

from gputune import record, verdict
from gputune.probes.burst import Infeasible, Purpose, Stall, StallKind
from gputune.probes.settings import Settings
from gputune.verdict import Cause


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("recommended", Cause.MAIN_THREAD), ("healthy", Cause.STEP), ("machine_limit", Cause.CORES),
        ("storage", Cause.STORAGE), ("slow_samples", Cause.SLOW_SAMPLES), ("no_loader", Cause.NO_LOADER),
        ("script_failed", Cause.UNKNOWN),
    ],
)  # fmt: skip
def test_each_designed_run_gets_its_own_cause(name: str, cause: Cause) -> None:
    assert verdict.of(factory.ALL[name]()).cause is cause


def test_starvation_is_what_is_lost_against_the_ceiling() -> None:
    judged = verdict.of(factory.run())
    assert judged.starvation == pytest.approx(1 - 320 / 812, abs=0.01)
    assert judged.headroom == pytest.approx(812 / 320, rel=0.01)
    assert judged.headline.startswith("GPU waits for data 61 % of the time. With free data")


def test_without_a_gpu_nobody_speaks_of_one() -> None:
    judged = verdict.of(factory.run(environment=factory.environment("cpu")))
    assert judged.headline.startswith("The training loop waits")
    assert "GPU" not in judged.headline + judged.cause_sentence


def test_a_machine_that_is_too_small_is_named_with_both_numbers() -> None:
    judged = verdict.of(factory.machine_limit())
    assert judged.cores_needed == pytest.approx(0.44 * 0.98 / 0.0394, rel=0.02)
    assert "needs 11 cores, this machine gives 4" in judged.need_sentence


def test_workers_that_wait_need_few_cores() -> None:
    judged = verdict.of(factory.storage())
    assert judged.workers_needed == 6
    assert judged.cores_needed < 1
    assert "waiting for storage" in judged.cause_sentence


def test_a_healthy_loader_is_left_alone() -> None:
    judged = verdict.of(factory.healthy())
    assert judged.headline.startswith("Your loader is fine")
    assert judged.fix_sentence == ""
    assert judged.need_sentence == ""


def test_nothing_is_recommended_without_proof() -> None:
    judged = verdict.of(factory.not_proved())
    assert judged.fix_sentence.startswith("Nothing recommended")
    assert not judged.proved
    assert not any("export" in command for command in judged.next_commands)


def test_an_interrupted_run_says_what_was_seen_and_that_it_is_not_proved() -> None:
    judged = verdict.of(factory.interrupted())
    assert judged.fix_sentence.startswith("Best seen, not proved")
    assert any(caveat.startswith("Interrupted") for caveat in judged.caveats)


def test_without_a_ceiling_no_gain_is_claimed() -> None:
    judged = verdict.of(factory.run(ceiling=None, trials=[], proof=None, recommendation=None))
    assert judged.headroom is None
    assert "not known" in judged.headline


def test_a_failed_script_shows_its_last_line() -> None:
    assert "FileNotFoundError: data/train" in verdict.of(factory.script_failed()).headline


def copies(settings: Settings) -> record.Run:
    stalls = tuple(Stall(StallKind.COPY, 1000.31 + 0.1 * k, 0.004, k) for k in range(40))
    return factory.run(baseline=factory.burst(settings, stalls=stalls, service_s=0.2))


def test_advice_never_names_what_the_user_already_does() -> None:
    plain = verdict.of(copies(Settings.make(num_workers=2)))
    pinned = verdict.of(copies(Settings.make(num_workers=2, pin_memory=True)))
    assert [finding.advice for finding in plain.findings] == ["pin_memory=True with non_blocking copies"]
    assert [finding.advice for finding in pinned.findings] == [""]


@pytest.mark.parametrize("name", factory.ALL)
def test_a_verdict_has_no_holes_and_survives_storage(name: str) -> None:
    run = msgspec.json.decode(record.dump(factory.ALL[name]()), type=record.Run)
    judged = verdict.of(run)
    assert judged == verdict.of(factory.ALL[name]())
    words = " ".join([judged.headline, judged.cause_sentence, judged.need_sentence, judged.fix_sentence])
    assert "nan" not in words
    assert "None" not in words
    assert "inf" not in words.replace("information", "")


def test_a_setting_that_would_change_the_samples_is_named_once_with_what_to_do() -> None:
    reason = "vetoed: the samples change (3 of 4 batches came with other values): open it in __getitem__"
    vetoed = [
        record.Trial(number=number, phase="search", settings=Settings.make(num_workers=number), infeasible=Infeasible(
            settings=Settings.make(num_workers=number), purpose=Purpose.TRIAL, reason=reason))
        for number in (2, 4)
    ]  # fmt: skip
    caveats = verdict.of(factory.run(trials=vetoed)).caveats
    assert [text for text in caveats if "vetoed" in text] == [f"num_workers=2 {reason}."]
