"""``gputune.profile(loop, loader)``: the campaign on a loop in this very process, for notebooks.

The loop runs on the calling thread (a notebook's main thread, whose interrupts stay its own); the campaign runs in a
thread beside it and talks to the agent through pipes, as it does with a script. There is no sandbox: what the loop
writes is written, and the model has trained on a little by the end.
"""

from __future__ import annotations

import contextlib
import datetime
import itertools
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from rich.console import Console

from gputune import lock, machine, talk
from gputune.campaign import Campaign
from gputune.devices import open_watched
from gputune.errors import GputuneError, InconclusiveError, UsageError
from gputune.options import Options
from gputune.probes.burst import Burst, Infeasible, Purpose
from gputune.probes.channel import Channel, ChannelClosed, ChannelTimeout
from gputune.probes.protocol import Event, Hello, Length, Measure, Measured, Order, Release, TrialFailed
from gputune.probes.sampler import Sampler
from gputune.probes.settings import Settings
from gputune.progress import Progress
from gputune.record import Run, Status, save

if TYPE_CHECKING:
    from gputune.probes.agent.inside import Inside

TRIAL_DEADLINE_S = 20.0
ANSWER_S = 300.0
"""The loop may validate or save for long between two batches."""
_AGENT: list[Inside] = []
"""The hooks of this process, once it has any."""


class LoopBench:
    """Measures settings in a loop of this process; see :class:`gputune.bench.Bench`.

    Args:
        channel: to the agent in the loop.
    """

    def __init__(self, channel: Channel[Event]) -> None:
        self._channel, self._ids = channel, itertools.count(1)
        self._sampler: Sampler | None = None
        self.hello: Hello | None = None

    def now_s(self) -> float:
        """Return monotonic seconds."""
        return time.monotonic()

    def start(self) -> Hello:
        """Wait until the agent has found the loader that trains, and begin to sample the machine."""
        hello: Hello = self._answer(Hello)
        if not hello.environment.hot_swap:
            raise InconclusiveError(
                f"this torch cannot be tuned while a loop runs: {hello.environment.hot_swap_reason}",
                "profile the loop as a script: gputune profile train.py",
            )
        self.hello = hello
        self._sampler = Sampler(os.getpid(), open_watched(hello.environment, None))
        self._sampler.start()
        return hello

    def measure(
        self,
        settings: Settings,
        purpose: Purpose,
        length: Length = Length(),
        *,
        replay: bool = False,
        abandon_below: float | None = None,
    ) -> Burst | Infeasible:
        """Run one burst."""
        self._channel.send(
            Measure(
                id=next(self._ids),
                purpose=purpose,
                settings=settings,
                length=length,
                replay=replay,
                deadline_s=TRIAL_DEADLINE_S,
                abandon_below=abandon_below,
            )
        )
        answer: Measured | TrialFailed = self._answer((Measured, TrialFailed))
        if isinstance(answer, TrialFailed):
            return answer.infeasible
        assert self._sampler is not None
        host, gpu = self._sampler.window(answer.burst.start_s, answer.burst.end_s)
        series = self._sampler.series(answer.burst.start_s, answer.burst.end_s)
        return msgspec.structs.replace(answer.burst, host=host, gpu=gpu, series=series)

    def _answer(self, kinds: type | tuple[type, ...]) -> Any:
        """Wait for an event of the kinds expected."""
        try:
            while not isinstance(event := self._channel.receive(ANSWER_S), kinds):
                continue
        except ChannelTimeout:
            raise InconclusiveError(f"the loop gave no sign of life for {ANSWER_S:.0f} s") from None
        except ChannelClosed:
            raise InconclusiveError(talk.LOOP_ENDED) from None
        return event

    def missing(self) -> list[str]:
        """Return what could not be measured, one sentence each."""
        return self._sampler.missing() if self._sampler else []

    def close(self) -> None:
        """Let the loop go on as it was, and stop sampling."""
        with contextlib.suppress(ChannelClosed):  # the loop has ended: there is nothing to let go
            self._channel.send(Release())
        if self._sampler is not None:
            self._sampler.stop()


class _Conducting(threading.Thread):
    """The campaign beside the loop; ``record`` is what is known so far, ``failure`` what ended it."""

    def __init__(self, bench: LoopBench, blank: Run, options: Options, progress: Progress) -> None:
        super().__init__(name="gputune-campaign", daemon=True)
        self.bench, self._options, self._progress = bench, options, progress
        self.record = blank
        self.failure: BaseException | None = None

    def run(self) -> None:
        """Conduct; whatever happens the loop is let go."""
        campaign: Campaign | None = None
        try:
            self._progress.phase("start", self.record)
            campaign = Campaign(self.bench, self.bench.start(), self.record, self._options, self._progress)
            campaign.conduct()
        except BaseException as error:  # noqa: BLE001  raised again on the thread that called us
            self.failure = error
        finally:
            if campaign is not None:
                self.record = campaign.run
            self.bench.close()


def profile(
    loop: Callable[[Any], object],
    loader: Any,
    *,
    budget_s: float = 90.0,
    search: bool = True,
    allow: tuple[str, ...] = (),
    results_dir: Path | str | None = None,
    quiet: bool = False,
) -> Run:
    """Measure a training loop in this process and find better settings for its loader.

    Args:
        loop: called with ``loader``, again and again until enough is known; it is ended from inside the loader.
        loader: what it iterates: a ``torch.utils.data.DataLoader`` or a library's own.
        budget_s: seconds of measuring.
        search: look for better settings; without it only the gain that is possible is measured.
        allow: settings that change the order of samples and may be tried all the same.
        results_dir: keep the run there as ``gputune profile`` does; ``None`` keeps nothing.
        quiet: no progress on stderr.

    Returns:
        The run, which a notebook shows as the report.

    Raises:
        UsageError: ``loop`` cannot be called, or ``loader`` cannot be iterated.
        InconclusiveError: nothing could be measured; the message says why.
        Exception: what the loop itself raises.
    """
    _check(loop, loader, budget_s)
    agent = _agent()
    options = Options(budget_s=budget_s, search=search, allow=allow)
    order_read, order_write = os.pipe()
    event_read, event_write = os.pipe()
    theirs: Channel[Order] = Channel(order_read, event_write, Order)
    ours: Channel[Event] = Channel(event_read, order_write, Event)
    progress = Progress(Console(stderr=True, highlight=False, quiet=quiet), budget_s)
    with lock.campaign(), progress.shown():
        conducting = _Conducting(LoopBench(ours), _blank(options), options, progress)
        conducting.start()
        try:
            _loop_until_over(agent, theirs, loop, loader)
        finally:
            theirs.close()  # the campaign, if it still waits for the loop, learns that it has ended
            conducting.join()
            ours.close()
    return _kept(conducting, results_dir)


def _check(loop: Any, loader: Any, budget_s: float) -> None:
    example = "example: gputune.profile(train_one_epoch, train_loader)"
    if not callable(loop):
        raise UsageError(f"loop is a {type(loop).__name__}: it has to be a function of the loader", example)
    if not hasattr(loader, "__iter__") or not hasattr(loader, "dataset"):
        raise UsageError(f"loader is a {type(loader).__name__}: it has to be a DataLoader", example)
    if not budget_s > 0:
        raise UsageError(f"budget_s is {budget_s:g}: a budget is a number of seconds above 0", "example: budget_s=60")


def _agent() -> Inside:
    from gputune.probes.agent.inside import Inside, TorchUnknown

    if not _AGENT:
        try:
            _AGENT.append(Inside())
        except TorchUnknown as error:
            raise InconclusiveError(talk.cannot_attach(error)) from None
    return _AGENT[0]


def _loop_until_over(agent: Inside, channel: Channel[Order], loop: Callable[[Any], object], loader: Any) -> None:
    from gputune.probes.agent.inside import LoopOver

    with agent.conducted(channel) as taken:
        try:
            while True:
                before = taken()
                loop(loader)
                if taken() == before:
                    raise InconclusiveError("loop(loader) returned without taking a batch from the loader")
        except LoopOver:
            return


def _blank(options: Options) -> Run:
    now = datetime.datetime.now().astimezone()
    return Run(
        id=now.strftime("%Y%m%d-%H%M%S-notebook"),
        created_at=now.isoformat(timespec="seconds"),
        command=["gputune.profile"],
        cwd=os.getcwd(),
        status=Status.INTERRUPTED,
        machine=machine.describe(),
        options=msgspec.to_builtins(options),
    )


def _kept(conducting: _Conducting, results_dir: Path | str | None) -> Run:
    """Return the record, and raise what ended the campaign if it has nothing to show."""
    run = msgspec.structs.replace(conducting.record, missing=conducting.bench.missing())
    failure = conducting.failure
    if failure is not None and (run.baseline is None or not isinstance(failure, GputuneError)):
        raise failure
    if results_dir is not None:
        from gputune.profiling import make_folder

        folder = make_folder(Path(results_dir), "notebook")
        run = msgspec.structs.replace(run, id=folder.name)
        save(run, folder)
    return run
