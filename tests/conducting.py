"""Conducts a real target through the real channel; shared by the tests of the agent and of the stacks."""

from __future__ import annotations

from gputune.probes.burst import Burst, Infeasible, Purpose
from gputune.probes.protocol import Hello, Length, Measure, Measured, TrialFailed
from gputune.probes.settings import Settings
from gputune.probes.target import Target, TargetGone

SHORT = Length(warmup_batches=1, min_batches=6, min_s=0.0, max_s=5.0, precision=10.0)
"""A handful of batches whatever the noise: for tests that ask what happens, not how fast."""


class Conducted:
    """One running target and a few words to conduct it with."""

    def __init__(self, target: Target) -> None:
        self.target, self._id = target, 0
        self.hello: Hello = target.hello(60)

    def burst(
        self, *, replay: bool = False, deadline_s: float = 15.0, length: Length = SHORT, **settings: object
    ) -> Burst:
        """Run one burst that must succeed; without settings, under the user's own."""
        answer = self._measure(replay, deadline_s, length, **settings)
        assert isinstance(answer, Measured), answer
        return answer.burst

    def failure(self, *, deadline_s: float = 15.0, **settings: object) -> Infeasible:
        """Run one trial that must fail."""
        answer = self._measure(False, deadline_s, SHORT, **settings)
        assert isinstance(answer, TrialFailed), answer
        return answer.infeasible

    def _measure(self, replay: bool, deadline_s: float, length: Length, **settings: object) -> object:
        wanted = Settings.make(**settings) if settings else self.hello.loader.settings
        purpose = Purpose.TRIAL if settings else Purpose.BASELINE
        return self.target.measure(self.order(wanted, purpose, length, replay=replay, deadline_s=deadline_s))

    def order(
        self,
        settings: Settings,
        purpose: Purpose = Purpose.TRIAL,
        length: Length = SHORT,
        *,
        replay: bool = False,
        deadline_s: float = 15.0,
    ) -> Measure:
        """Return the next order."""
        self._id += 1
        return Measure(
            id=self._id, purpose=purpose, settings=settings, length=length, replay=replay, deadline_s=deadline_s
        )

    def finish(self) -> TargetGone:
        """Measure until the script has ended by itself."""
        try:
            while True:
                self.burst()
        except TargetGone as gone:
            return gone
