"""The real bench: conducts a target process, samples the machine beside it, and starts it again when it must."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from gputune import neighbours, talk
from gputune.devices import open_watched
from gputune.errors import InconclusiveError, TargetError
from gputune.probes.burst import Burst, Infeasible, Purpose
from gputune.probes.gpu import Gpu
from gputune.probes.protocol import Goodbye, Hello, Length, LoaderSite, Measure, Measured, Refused, TrialFailed
from gputune.probes.sampler import Sampler
from gputune.probes.sandbox import plan
from gputune.probes.sandbox.records import Confinement, Written
from gputune.probes.series import Series
from gputune.probes.settings import Settings
from gputune.probes.target import Target, TargetGone, TargetHangs
from gputune.script import Script
from gputune.starter import Starter, applied

MAX_RESTARTS = 8
"""A script that ends by itself during the campaign is started again at most this often."""
MAX_FUTILE_REPEATS = 2
"""Repeats that were disturbed as well before none is tried any more: the neighbours are there to stay."""


class TargetBench:
    """Measures settings in the user's process.

    Args:
        script: what to run.
        cwd: where to run it.
        log_folder: where the script's output goes (one file a process).
        deadline_s: a trial that gives no batch for this long has failed.
        device: watch this device (``cuda:1``) instead of the one the script uses; ``cpu`` watches none.
        mode: how the user's files are protected.
        scratch_limit_bytes: what the script may write.
        say: shows a line of progress.
    """

    def __init__(
        self,
        script: Script,
        *,
        cwd: Path,
        log_folder: Path,
        deadline_s: float = 20.0,
        device: str | None = None,
        mode: plan.Mode = "auto",
        scratch_limit_bytes: int = plan.DEFAULT_SCRATCH_LIMIT_BYTES,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._starter = Starter(
            script, cwd=cwd, log_folder=log_folder, mode=mode, scratch_limit_bytes=scratch_limit_bytes, say=say
        )
        self._device, self._deadline_s, self._say = device, deadline_s, say
        self._ids = itertools.count(1)
        self._target: Target | None = None
        self._sampler: Sampler | None = None
        self._gpu: Gpu | None = None
        self._futile_repeats = 0
        self.hello: Hello | None = None
        self.loaders: list[LoaderSite] = []
        self.notes: list[str] = []
        self.written: dict[str, Written] = {}
        self.written_bytes = 0

    def now_s(self) -> float:
        """Return monotonic seconds."""
        return time.monotonic()

    def start(self, settings: Settings | None = None) -> Hello:
        """Start the target and wait for its training loader.

        Args:
            settings: apply these when the loader is constructed (fresh-process trial).

        Raises:
            TargetError: the script failed.
            InconclusiveError: it has no loader, ended, or hangs before its first batch.
            UsageError: it cannot be started, or not under protection.
        """
        self.stop()
        with applied(self.hello.loader if self.hello else None, settings) as config:
            self._target = target = self._starter.launch(config, settings)
            hello = self._starter.greet(target)
        if self.hello is None and not hello.environment.hot_swap:
            self._say(talk.no_hot_swap(hello.environment.hot_swap_reason))
        self.hello = self.hello or hello
        self.loaders = hello.loaders
        self._gpu = open_watched(hello.environment, self._device)
        # Of several ranks all are watched, through the command that started them.
        watched = target.pid if hello.environment.ranks > 1 else hello.environment.pid
        self._sampler = Sampler(watched, self._gpu)
        self._sampler.start()
        return hello

    @property
    def confinement(self) -> Confinement | None:
        """How the user's files are protected; ``None`` before the first start."""
        return self._starter.confinement

    @property
    def goodbye(self) -> Goodbye | None:
        """What the agent said of a script that ended before it could be measured."""
        return self._starter.goodbye

    def measure(
        self,
        settings: Settings,
        purpose: Purpose,
        length: Length = Length(),
        *,
        replay: bool = False,
        abandon_below: float | None = None,
    ) -> Burst | Infeasible:
        """Run one burst; see :class:`gputune.bench.Bench`."""
        order = Measure(
            id=next(self._ids),
            purpose=purpose,
            settings=settings,
            length=length,
            replay=replay,
            deadline_s=self._deadline_s,
            abandon_below=abandon_below,
        )
        result = self._measure(order)
        if isinstance(result, Burst) and self._disturbed(result):
            again = self._measure_again(order, result)
            result = again if isinstance(again, Burst) else result
        return result

    def _measure_again(self, order: Measure, disturbed: Burst) -> Burst | Infeasible | None:
        """Repeat a burst that other processes disturbed, unless they never leave this machine alone."""
        cores = disturbed.host.other_cpu_cores or 0.0
        if self._futile_repeats >= MAX_FUTILE_REPEATS:
            self.notes = [talk.busy_machine(cores)]
            return None
        self._say(talk.disturbed(cores))
        again = self._measure(msgspec.structs.replace(order, id=next(self._ids)))
        self._futile_repeats += isinstance(again, Burst) and self._disturbed(again)
        return again

    def _measure(self, order: Measure) -> Burst | Infeasible:
        for _ in range(MAX_RESTARTS):
            if self._target is None:
                self.start(order.settings if self._needs_fresh_process else None)
            assert self._target is not None
            try:
                answer = self._target.measure(order)
            except TargetGone as gone:
                self._ended(gone)
                continue
            except TargetHangs:
                self.stop()
                return self._infeasible(order, talk.HANGS)
            if isinstance(answer, Measured):
                self.loaders = answer.loaders or self.loaders
                return self._with_machine(answer.burst)
            if isinstance(answer, TrialFailed):
                return answer.infeasible
            assert isinstance(answer, Refused)
            failed = self._restart_with(order)
            if failed is not None:
                return failed
        raise InconclusiveError(talk.ends_too_often(MAX_RESTARTS), talk.HINT_ENDS_TOO_OFTEN)

    @property
    def _needs_fresh_process(self) -> bool:
        return self.hello is not None and not self.hello.environment.hot_swap

    def _restart_with(self, order: Measure) -> Infeasible | None:
        """Start a fresh process whose loader is constructed with the order's settings."""
        try:
            self.start(order.settings)
        except (TargetError, InconclusiveError) as error:
            self.stop()
            return self._infeasible(order, str(error))
        return None

    def _ended(self, gone: TargetGone) -> None:
        """The script ended by itself (start it again) or failed (the end)."""
        self.stop()
        if gone.status != 0:
            raise talk.ended_before_measuring(gone.status, gone.goodbye, gone.tail, gone.reason)
        self._say(talk.STARTING_AGAIN)

    def _infeasible(self, order: Measure, reason: str) -> Infeasible:
        return Infeasible(settings=order.settings, purpose=order.purpose, reason=reason)

    def _disturbed(self, burst: Burst) -> bool:
        return burst.purpose not in (Purpose.TRIAL, Purpose.DIAGNOSIS) and neighbours.disturbed(burst)

    def _with_machine(self, burst: Burst) -> Burst:
        assert self._sampler is not None
        host, gpu = self._sampler.window(burst.start_s, burst.end_s)
        series = self._sampler.series(burst.start_s, burst.end_s)
        return msgspec.structs.replace(burst, host=host, gpu=gpu, series=series)

    def recent(self, length_s: float = 5.0) -> Series | None:
        """Return what was sampled in the last seconds; ``None`` while no script runs."""
        return self._sampler.recent(length_s) if self._sampler else None

    def missing(self) -> list[str]:
        """Return what could not be measured, one sentence each."""
        return (self._sampler.missing() if self._sampler else []) + self.notes

    def output_tail(self) -> str:
        """Return the end of what the script printed."""
        return self._target.output_tail(0.1) if self._target else ""

    def stop(self) -> None:
        """End the target and the sampler; stopping twice does nothing."""
        if self._sampler is not None:
            self._sampler.stop()
        if self._gpu is not None:
            self._gpu.close()
            self._gpu = None
        if self._target is not None:
            self._target.stop()
            if self._target.ended is not None:
                self.written |= {entry.path: entry for entry in self._target.ended.written}
                self.written_bytes += self._target.ended.bytes
            self._target = None
