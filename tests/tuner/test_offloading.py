"""Which process-wide settings are tried, how long, and which is kept: on a loop in virtual time."""

from __future__ import annotations

from gputune import offloading, proof
from gputune.bench import Bench
from gputune.offloading import Offloading
from gputune.probes.burst import Burst, Infeasible, Purpose, Stall, StallKind
from gputune.probes.protocol import Length
from gputune.probes.settings import SETTINGS, Settings

CHOICES = {name: row.choices for name, row in SETTINGS.items()}


class Loop:
    """A training loop that saves every 20 steps of 20 ms and logs every fourth; background writes cost a little.

    Args:
        save_s: what a save takes on the training thread.
        log_s: what a log call takes there.
        beside: by how much each step is longer while one kind of writer writes, by kind.
    """

    def __init__(self, save_s: float = 0.0, log_s: float = 0.0, **beside: float) -> None:
        self.save_s, self.log_s, self.beside = save_s, log_s, beside
        self.clock_s, self.batch = 0.0, 0
        self.asked: list[tuple[Settings, Length]] = []

    def now_s(self) -> float:
        return self.clock_s

    def measure(
        self, settings: Settings, purpose: Purpose, length: Length = Length(), **_options: object
    ) -> Burst | Infeasible:
        self.asked.append((settings, length))
        start_s, stalls, periods = self.clock_s, [], []
        while self.clock_s - start_s < (length.max_s if length.checkpoints else 3.0):
            self.batch += 1
            period_s = 0.02 * (1 + self.beside.get(settings.async_checkpoint, 0.0))
            if self.batch % 20 == 0 and self.save_s:
                took_s = self.save_s if settings.async_checkpoint == "off" else 0.1 * self.save_s
                stalls.append(Stall(StallKind.CHECKPOINT, self.clock_s, took_s, self.batch - 1))
                self.clock_s += took_s
            if self.batch % 4 == 0 and self.log_s:
                took_s = 0.0 if settings.async_logging else self.log_s
                if took_s:
                    stalls.append(Stall(StallKind.LOGGING, self.clock_s, took_s, self.batch - 1))
                period_s += took_s
            periods.append(period_s)
            self.clock_s += period_s
            if 0 < length.checkpoints <= sum(stall.kind is StallKind.CHECKPOINT for stall in stalls):
                break
        return Burst(
            settings=settings, purpose=purpose, start_s=start_s, end_s=self.clock_s, period_s=periods,
            wait_s=[0.0] * len(periods), samples=[8] * len(periods), stalls=stalls, batches_total=self.batch,
        )  # fmt: skip


def baseline(loop: Loop) -> Burst:
    found = loop.measure(Settings(), Purpose.BASELINE)
    assert isinstance(found, Burst)
    return found


def chosen(loop: Bench, first: Burst, best: Settings | None = None) -> Settings:
    trying = Offloading(first, None, CHOICES)
    trying.begin(best or Settings())
    while (proposal := trying.next()) is not None:
        trying.learn(proposal.settings, loop.measure(proposal.settings, Purpose.TRIAL, proposal.length))
    return trying.best


def test_a_stall_below_one_per_cent_is_left_alone() -> None:
    assert offloading.evident(baseline(Loop(save_s=0.003))) == {}
    assert list(offloading.evident(baseline(Loop(save_s=0.03)))) == ["async_checkpoint"]
    assert list(offloading.evident(baseline(Loop(save_s=0.03, log_s=0.02)))) == ["async_logging", "async_checkpoint"]


def test_the_thread_is_kept_unless_a_process_is_clearly_better() -> None:
    for process, kept in ((0.0, "thread"), (-0.04, "thread"), (-0.2, "process")):
        loop = Loop(save_s=0.2, thread=0.0, process=process)
        assert chosen(loop, baseline(loop)).async_checkpoint == kept


def test_a_background_write_that_costs_as_much_as_it_saves_is_not_kept() -> None:
    loop = Loop(save_s=0.1, thread=0.3, process=0.3)
    assert chosen(loop, baseline(loop)) == Settings()


def test_what_is_kept_stands_on_top_of_the_loaders_settings() -> None:
    loop, best = Loop(save_s=0.2, log_s=0.01), Settings.make(num_workers=2)
    found = chosen(loop, baseline(loop), best)
    assert found == best.replace(async_checkpoint="thread", async_logging=True)
    compared = [settings for settings, _ in loop.asked[1:]]
    assert compared[0] == best, "measured with its checkpoints first, to compare with"


def test_a_burst_is_long_enough_for_whole_cycles_and_several_log_calls() -> None:
    first = baseline(Loop(save_s=0.2, log_s=0.01))
    asked = offloading.length(first, {"async_checkpoint", "async_logging"})
    assert asked.checkpoints >= 4
    assert asked.min_batches >= 5 * 4
    rare = baseline(Loop(save_s=4.0))
    assert offloading.length(rare, {"async_checkpoint"}).checkpoints == 2


def test_the_study_is_told_rates_with_checkpoints_whether_a_burst_met_them_or_not() -> None:
    loop = Loop(save_s=0.2)
    first = baseline(loop)
    trying = Offloading(first, None, CHOICES)
    short = loop.measure(Settings(), Purpose.TRIAL, Length())
    assert isinstance(short, Burst)
    bare = Burst(
        settings=short.settings, purpose=short.purpose, start_s=0, end_s=1, period_s=[0.02] * 15, wait_s=[0.0] * 15,
        samples=[8] * 15, batches_total=15,
    )  # fmt: skip
    assert abs(trying.value(bare) / trying.value(first) - 1) < 0.01
    assert abs(trying.value(first) / (20 * 8 / (20 * 0.02 + 0.2)) - 1) < 0.01


def test_the_proof_compares_whole_cycles_and_refuses_bursts_without() -> None:
    loop, candidate = Loop(save_s=0.2), Settings(async_checkpoint="thread")
    length = offloading.length(baseline(loop), {"async_checkpoint"})
    found = proof.prove(loop, Settings(), candidate, 1e9, length=length)
    assert found is not None
    assert found.better
    assert abs(found.ratio - (0.4 + 0.2) / (0.4 + 0.02)) < 0.01
    assert proof.prove(Loop(), Settings(), candidate, 1e9, length=length) is None
