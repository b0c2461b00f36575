"""One profile from request to saved record: prepares the folder, conducts the campaign, keeps what is known."""

from __future__ import annotations

import datetime
from pathlib import Path

import msgspec
from rich.console import Console

from gputune import lock, reuse, talk
from gputune.campaign import Campaign
from gputune.config import hash_sources
from gputune.errors import ExitCode, GputuneError, InconclusiveError, RecordError, TargetError, UsageError
from gputune.probes.protocol import Gate, Hello
from gputune.probes.sandbox import scratch, trackers
from gputune.probes.sandbox.records import Written
from gputune.progress import Progress
from gputune.record import Run, Status, Trial, save
from gputune.request import Request, Result
from gputune.script import Script
from gputune.target_bench import TargetBench
from gputune.undisturbed import undisturbed


def profile(request: Request) -> Result:
    """Conduct a campaign and save its record, also when it is interrupted or the script fails.

    Raises:
        GputuneError: nothing was measured; the message says why.
    """
    with lock.campaign():
        now = request.now()
        progress = Progress(Console(stderr=True, highlight=False, quiet=request.quiet), request.options.budget_s)
        if not request.fresh and not request.resume and (earlier := reuse.finished(request.results_dir, now)):
            folder, run = earlier
            progress.note(talk.unchanged(run.id, reuse.compared(run)))
            return Result(run=run, folder=folder, exit_code=int(ExitCode.OK))
        if request.resume:
            folder, run = reuse.interrupted(request.results_dir, now)
        else:
            folder = make_folder(request.results_dir, request.script.name)
            run = _blank(request, folder, now)
        return _measured(request, progress, folder, run)


def _measured(request: Request, progress: Progress, folder: Path, run: Run) -> Result:
    scratch.sweep_stale([str(request.cwd), str(request.cwd.parent)])
    for warning in trackers.upload_warnings(request.script.command, request.cwd):
        progress.note(warning)
    bench = _bench(request, folder, progress)
    try:
        with progress.shown(bench.recent):
            return _conduct(bench, request, progress, folder, run)
    finally:
        bench.stop()


def _bench(request: Request, folder: Path, progress: Progress) -> TargetBench:
    return TargetBench(
        request.script,
        cwd=request.cwd,
        log_folder=folder,
        device=request.device,
        say=progress.note,
        mode="none" if request.allow_writes else "auto",
        scratch_limit_bytes=request.scratch_limit_bytes,
    )


def _blank(request: Request, folder: Path, now: reuse.Now) -> Run:
    """Return the record of a campaign that has not measured anything yet."""
    return Run(
        id=folder.name,
        created_at=datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        command=request.script.command,
        cwd=str(request.cwd),
        status=Status.INTERRUPTED,
        machine=now.machine,
        options=now.options,
    )


def _conduct(bench: TargetBench, request: Request, progress: Progress, folder: Path, run: Run) -> Result:
    campaign = None
    try:
        Keeping(progress, folder).phase("start", run)
        hello = with_script_gates(bench.start(), request.script)
        run = msgspec.structs.replace(run, sources=reuse.hashes(hello.modules), data=hello.data)
        campaign = Campaign(bench, hello, run, request.options, Keeping(progress, folder), folder)
        return _saved(campaign.conduct(), bench, folder, ExitCode.OK, progress)
    except KeyboardInterrupt:
        progress.note(talk.INTERRUPTED)
        return _saved(campaign.run if campaign else run, bench, folder, ExitCode.INTERRUPTED, progress)
    except Exception as error:
        if not isinstance(error, GputuneError):  # a bug of ours must not cost what was measured
            _saved(campaign.run if campaign else run, bench, folder, ExitCode.INTERNAL, progress)
            raise
        run = _failed(campaign.run if campaign else run, error, bench)
        result = _saved(run, bench, folder, error.exit_code, progress)
        if run.baseline is None and not run.alone:
            raise
        progress.note(str(error))
        return result


def _failed(run: Run, error: GputuneError, bench: TargetBench) -> Run:
    status = Status.SCRIPT_FAILED if isinstance(error, TargetError) else Status.SCRIPT_ENDED
    if isinstance(error, InconclusiveError) and error.hint == talk.HINT_NO_LOADER:
        status = Status.NO_LOADER
    alone = bench.goodbye.hotspots if bench.goodbye and run.baseline is None else []
    return msgspec.structs.replace(
        run, status=status, alone=alone, script_output_tail=bench.output_tail() or str(error)
    )


def _saved(run: Run, bench: TargetBench, folder: Path, code: ExitCode, progress: Progress) -> Result:
    with undisturbed():
        bench.stop()
        run = msgspec.structs.replace(
            run,
            loaders=bench.loaders or run.loaders,
            missing=bench.missing(),
            sources=hash_sources(bench.loaders) | run.sources,
            confinement=bench.confinement,
            written=_largest(bench),
            written_bytes=bench.written_bytes,
        )
        try:
            save(run, folder)
        except RecordError as error:  # a full disk must not cost what can still be shown
            progress.note(str(error))
            code = code or error.exit_code
    return Result(run=run, folder=folder, exit_code=int(code))


class Keeping:
    """A listener that writes down what is known at each phase and trial, should the tuner be killed in the next.

    Args:
        progress: gets everything that happens.
        folder: of the run.
    """

    def __init__(self, progress: Progress, folder: Path) -> None:
        self._folder = folder
        self.plan, self.note = progress.plan, progress.note
        self._progress = progress

    def phase(self, name: str, run: Run) -> None:
        """Write the record, or say why that is not possible, and show the phase."""
        self._keep(run)
        self._progress.phase(name, run)

    def trial(self, trial: Trial, run: Run) -> None:
        """Write the record and show the trial."""
        self._keep(run)
        self._progress.trial(trial, run)

    def _keep(self, run: Run) -> None:
        try:
            save(run, self._folder)
        except RecordError as error:
            self._progress.note(str(error))


def _largest(bench: TargetBench, most: int = 50) -> list[Written]:
    return sorted(bench.written.values(), key=lambda entry: -entry.bytes)[:most]


def with_script_gates(hello: Hello, script: Script) -> Hello:
    """Add what only the source tells: without a ``__main__`` guard spawned workers would run the script again."""
    fork = (hello.loader.start_method or hello.environment.start_method) == "fork"
    if fork or script.path is None or script.has_main_guard or hello.loader.settings.num_workers > 0:
        return hello
    gate = Gate(
        setting="num_workers",
        allowed=[0],
        reason=f"num_workers stays 0: workers are started with {hello.environment.start_method}, which imports the "
        "script again, and it has no if __name__ == '__main__' guard",
    )
    return msgspec.structs.replace(hello, gates=[*hello.gates, gate])


def make_folder(results_dir: Path, name: str) -> Path:
    """Create ``<results>/<time>-<script>`` for this run alone.

    Raises:
        UsageError: the folder cannot be written.
    """
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    for attempt in range(100):
        folder = results_dir / (f"{stamp}-{name}" + (f"-{attempt}" if attempt else ""))
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            if not results_dir.is_dir():
                raise UsageError(f"{results_dir} is not a folder", "choose another with --results-dir") from None
            continue
        except OSError as error:
            raise UsageError(
                f"results folder {results_dir} cannot be written: {error.strerror}",
                "choose another with --results-dir",
            ) from error
        return folder
    raise UsageError(f"{results_dir} has a hundred runs of this second", "choose another with --results-dir")
