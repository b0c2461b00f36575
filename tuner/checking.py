"""A check from request to stored run: repeated short bursts of the script as it is, until the answer is clear.

Every round holds adjacent bursts (the script, free data where a requirement needs it, the older revision where there is
one), so that drift and neighbours meet all of them. Looks before the end ask for 99 % intervals and the last one for
95 %: looking after every round at 95 % would find a failure by chance too often (Haybittle-Peto).
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Callable
from pathlib import Path

import msgspec

from gputune import baseline as baselines
from gputune import gate, lock, machine, stats
from gputune.bench import Bench
from gputune.config import hash_sources
from gputune.errors import GputuneError, InconclusiveError, TargetError
from gputune.gate import Gated
from gputune.probes.burst import Burst, Infeasible, Purpose
from gputune.probes.protocol import Hello, Length
from gputune.probes.sandbox import plan, scratch
from gputune.probes.settings import Settings
from gputune.profiling import make_folder
from gputune.record import Run, Status, save
from gputune.requirement import Requirement
from gputune.rounds import Round
from gputune.script import Script
from gputune.target_bench import TargetBench

FIRST = Length(warmup_batches=4, min_batches=12, min_s=0.6, max_s=3.0, precision=0.05)
LENGTH = Length(warmup_batches=2, min_batches=10, min_s=0.6, max_s=1.5, precision=0.02)
MIN_ROUNDS = 4
MAX_ROUNDS = 40
EARLY, LAST = 0.99, 0.95
"""Confidence of the looks before the end, and of the last one."""
NEEDS_CEILING = ("of_ceiling", "starvation")


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What to check."""

    script: Script
    cwd: Path
    results_dir: Path
    name: str
    requirements: list[Requirement]
    hardware: baselines.Fingerprint
    """This machine."""
    baseline: baselines.Baseline | None = None
    save_baseline: bool = False
    budget_s: float = 45.0
    device: str | None = None
    allow_writes: bool = False
    lock_wait_s: float = 0.0
    older: Path | None = None
    """The same working directory at the older revision (``--against``)."""
    older_script: Script | None = None
    revision: str = ""

    @property
    def needs_ceiling(self) -> bool:
        """Whether every round has to hold a burst with free data."""
        if self.save_baseline or any(requirement.name in NEEDS_CEILING for requirement in self.requirements):
            return True
        # On other hardware only the share of the ceiling can be compared; the torch there is not known yet.
        return self.baseline is not None and self.baseline.fingerprint.folder != self.hardware.folder


Say = Callable[[str], None]


def check(request: Request, say: Say = lambda text: None) -> Run:
    """Measure until every requirement is decided or the budget is over, and store the run.

    Raises:
        GputuneError: nothing can be said; what is known is stored nevertheless.
    """
    folder = make_folder(request.results_dir, request.name)
    run = Run(
        id=folder.name,
        created_at=datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        command=request.script.command,
        cwd=str(request.cwd),
        status=Status.INTERRUPTED,
        machine=machine.describe(),
        options=_options(request),
    )
    with lock.campaign(request.lock_wait_s), contextlib.ExitStack() as stack:
        scratch.sweep_stale([str(request.cwd), str(request.cwd.parent)])
        bench = _bench(request, request.script, request.cwd, folder, say, stack)
        older: TargetBench | None = None
        if request.older is not None and request.older_script is not None:
            (folder / "against").mkdir()
            older = _bench(request, request.older_script, request.older, folder / "against", say, stack)
        conductor = Conductor(bench, older, request, run, say)
        try:
            conductor.start()
            conductor.conduct()
        except GputuneError as error:
            failed = Status.SCRIPT_FAILED if isinstance(error, TargetError) else Status.SCRIPT_ENDED
            tail = bench.output_tail() or str(error)
            conductor.run = msgspec.structs.replace(conductor.run, status=failed, script_output_tail=tail)
            raise
        finally:
            stack.close()
            save(_with_evidence(conductor.run, bench), folder)
    return _with_evidence(conductor.run, bench)


def _options(request: Request) -> dict[str, object]:
    texts = [requirement.text for requirement in request.requirements]
    return {"check": True, "budget_s": request.budget_s, "require": texts, "against": request.revision}


def _bench(
    request: Request, script: Script, cwd: Path, folder: Path, say: Say, stack: contextlib.ExitStack
) -> TargetBench:
    mode: plan.Mode = "none" if request.allow_writes else "auto"
    bench = TargetBench(script, cwd=cwd, log_folder=folder, device=request.device, say=say, mode=mode)
    stack.callback(bench.stop)
    return bench


def _with_evidence(run: Run, bench: TargetBench) -> Run:
    return msgspec.structs.replace(
        run,
        loaders=bench.loaders or run.loaders,
        missing=bench.missing(),
        sources=hash_sources(bench.loaders),
        confinement=bench.confinement,
    )


class Conductor:
    """Fills a run with rounds.

    Args:
        bench: the script as it is.
        older: the script at the older revision.
        request: what is asked.
        run: the record to start from; :attr:`run` is always what is known so far.
        say: shows a line of progress.
    """

    def __init__(self, bench: TargetBench, older: TargetBench | None, request: Request, run: Run, say: Say) -> None:
        self._bench, self._older, self._request, self._say = bench, older, request, say
        self._own = self._older_own = Settings()
        self._hot_swap = True
        self._deadline_s = bench.now_s() + request.budget_s
        self.run = run

    def start(self) -> None:
        """Start the script, and the older one beside it.

        Raises:
            GputuneError: one of them cannot be measured.
        """
        hello = self._bench.start()
        self._own, self._hot_swap = hello.loader.settings, hello.environment.hot_swap
        self._adopt(hello)
        if self._older is not None:
            try:
                self._older_own = self._older.start().loader.settings
            except GputuneError as error:
                raise type(error)(
                    f"at {self._request.revision}: {error}",
                    error.hint or "a worktree holds committed files only: name data by absolute paths",
                ) from error

    def _adopt(self, hello: Hello) -> None:
        self.run = msgspec.structs.replace(
            self.run,
            environment=hello.environment,
            loader=hello.loader,
            loaders=hello.loaders,
            gates=hello.gates,
            startup_s=hello.startup_s,
        )

    def conduct(self) -> None:
        """Measure rounds until nothing is left to decide or the budget is over.

        Raises:
            GputuneError: the script is gone or cannot be measured.
        """
        baseline = self._burst(self._bench, self._own, Purpose.BASELINE, FIRST)
        self.run = msgspec.structs.replace(self.run, baseline=baseline, ceiling=self._ceiling())
        if self._older is not None:
            self._burst(self._older, self._older_own, Purpose.BASELINE, FIRST)
        rounds, longest_s = 0, 0.0
        while rounds < MAX_ROUNDS:
            began_s = self._bench.now_s()
            if rounds >= MIN_ROUNDS and began_s + longest_s > self._deadline_s:
                break
            self.run = msgspec.structs.replace(self.run, rounds=[*self.run.rounds, self._round(rounds)])
            rounds, longest_s = rounds + 1, max(longest_s, self._bench.now_s() - began_s)
            if rounds >= self._least and self._gated(EARLY).decided:
                break
        self.run = msgspec.structs.replace(self.run, status=Status.COMPLETE)

    @property
    def _least(self) -> int:
        return MIN_ROUNDS + 2 if self._request.save_baseline else MIN_ROUNDS

    def _gated(self, confidence: float) -> Gated:
        return gate.evaluate(self.run, self._request.requirements, self._request.baseline, confidence)

    def _round(self, number: int) -> Round:
        """Measure one round; the order alternates, so that a drift favours nobody."""
        taken: dict[str, Burst] = {}
        order: list[tuple[str, Callable[[], Burst]]] = [
            ("user", lambda: self._burst(self._bench, self._own, Purpose.PROOF, LENGTH))
        ]
        if self._older is not None:
            older = self._older
            order.append(("against", lambda: self._burst(older, self._older_own, Purpose.PROOF, LENGTH)))
        if self._request.needs_ceiling:
            order.append(("ceiling", self._ceiling))
        for name, measure in order if number % 2 == 0 else reversed(order):
            taken[name] = measure()
        self._say(f"round {number + 1}: {_rates(taken)}")
        return Round(user=taken["user"], ceiling=taken.get("ceiling"), against=taken.get("against"))

    def _ceiling(self) -> Burst:
        alone = Settings.make(num_workers=0) if self._hot_swap else self._own
        return self._burst(self._bench, alone, Purpose.CEILING, LENGTH, replay=True)

    def _burst(
        self, bench: Bench, settings: Settings, purpose: Purpose, length: Length, *, replay: bool = False
    ) -> Burst:
        result = bench.measure(settings, purpose, length, replay=replay)
        if isinstance(result, Infeasible):
            raise InconclusiveError(f"the script cannot be measured with its own settings: {result.reason}")
        return result


def _rates(taken: dict[str, Burst]) -> str:
    return ", ".join(f"{name} {stats.samples_per_s(burst):.4g} samples/s" for name, burst in taken.items())
