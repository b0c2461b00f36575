"""One ``gputune check`` from checked options to exit code: measure or load, gate, tell everyone who asked."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from gputune import baseline as baselines
from gputune import gate, machine, worktree
from gputune.errors import ExitCode, InconclusiveError, UsageError
from gputune.files import write_whole
from gputune.gate import Gated
from gputune.judging import Verdict
from gputune.record import Run, load
from gputune.report import check_lines
from gputune.requirement import MAX_REGRESSION, Requirement
from gputune.script import Script


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A checked command line."""

    script: Script | None = None
    stored: Path | None = None
    """Gate this run instead of running anything."""
    name: str
    """Of the run's folder and, unless told otherwise, of the baseline."""
    results_dir: Path
    requirements: list[Requirement]
    baseline: str = ""
    save_baseline: str = ""
    acknowledge: str = ""
    against: str = ""
    inconclusive: Literal["pass", "fail", ""] = ""
    budget_s: float = 45.0
    junit: Path | None = None
    github: bool = False
    device: str | None = None
    allow_writes: bool = False


def do(job: Job, say: Callable[[str], None]) -> int:
    """Carry a job out and print its checks to stdout.

    Raises:
        GputuneError: nothing could be measured, or the job asks for nothing.
    """
    here = baselines.of_machine(machine.describe())
    path = _find(job, here)
    before = baselines.load(path) if path else None
    _must_ask_something(job, before)
    run = load(job.stored) if job.stored else _measure(job, here, before, say)
    gated = gate.evaluate(run, job.requirements, before)
    if job.acknowledge and path and before:
        gated = _acknowledged(job, run, gated, before, path)
    _tell(job, run, gated)
    if job.save_baseline:
        _save(job, run, gated)
    if not gated.checks:
        return ExitCode.OK
    return exit_code(gated.exit_code, job.inconclusive)


def exit_code(code: ExitCode, inconclusive: str) -> ExitCode:
    """Apply ``--inconclusive`` to an exit code."""
    if code is not ExitCode.INCONCLUSIVE or not inconclusive:
        return code
    return ExitCode.OK if inconclusive == "pass" else ExitCode.GATE_FAILED


def _find(job: Job, here: baselines.Fingerprint) -> Path | None:
    """Return the baseline to compare with: the named one must exist, the script's own may."""
    root = job.results_dir / "baselines"
    if job.against or (job.save_baseline and job.save_baseline == Path(job.baseline).stem):
        return None
    if job.baseline:
        path = baselines.find(root, job.baseline, here)
        if path is None:
            raise InconclusiveError(
                f"there is no baseline {job.baseline!r} in {root}",
                f"record one with: gputune check --save-baseline {Path(job.baseline).stem} SCRIPT",
            )
        return path
    return None if job.save_baseline else baselines.find(root, job.name, here)


def _must_ask_something(job: Job, before: baselines.Baseline | None) -> None:
    if job.acknowledge and before is None:
        raise UsageError(
            "--acknowledge accepts a regression, and there is no baseline to regress from", "name one with --baseline"
        )
    if job.save_baseline or job.against or before is not None:
        return
    if not job.requirements or all(requirement.name == MAX_REGRESSION for requirement in job.requirements):
        raise InconclusiveError(
            f"nothing to check: no requirement, and no baseline named {job.name!r} in {job.results_dir / 'baselines'}",
            "add --require 'starvation < 5%', or record a baseline with --save-baseline NAME",
        )


def _measure(
    job: Job, here: baselines.Fingerprint, before: baselines.Baseline | None, say: Callable[[str], None]
) -> Run:
    from gputune.checking import Request, check

    assert job.script is not None
    request = Request(
        script=job.script,
        cwd=Path.cwd(),
        results_dir=job.results_dir,
        name=job.name,
        requirements=job.requirements,
        hardware=here,
        baseline=before,
        save_baseline=bool(job.save_baseline),
        budget_s=job.budget_s,
        device=job.device,
        allow_writes=job.allow_writes,
    )
    if not job.against:
        return check(request, say)
    with worktree.checked_out(job.against, Path.cwd()) as folder:
        older = worktree.moved(job.script, Path.cwd(), folder, job.against)
        return check(msgspec.structs.replace(request, older=folder, older_script=older, revision=job.against), say)


def _acknowledged(job: Job, run: Run, gated: Gated, before: baselines.Baseline, path: Path) -> Gated:
    accepted = gate.acknowledge(gated, job.acknowledge)
    if accepted == gated:
        print("gputune: no regression was found, so there is nothing to acknowledge", file=sys.stderr)
        return gated
    baselines.save(path, baselines.accepted(before, run, job.acknowledge))
    print(f"gputune: {path} now holds the accepted numbers and the reason", file=sys.stderr)
    return accepted


def _save(job: Job, run: Run, gated: Gated) -> None:
    if gated.verdict is Verdict.FAIL:
        print("gputune: a check failed, so the baseline was not saved", file=sys.stderr)
        return
    new = baselines.from_run(run, job.save_baseline)
    path = baselines.path_of(job.results_dir / "baselines", new)
    if path.is_file():
        new = msgspec.structs.replace(new, acknowledgements=baselines.load(path).acknowledgements)
    baselines.save(path, new)
    if new.other_cpu_cores > gate.QUIET_CORES:
        said = f"other processes kept {new.other_cpu_cores:.1f} cores busy meanwhile"
        print(f"gputune: {said}; record it again on a quiet machine, or regressions may be missed", file=sys.stderr)
    print(f"gputune: saved baseline {path} ({len(new.samples_per_s)} repeats)", file=sys.stderr)


def _tell(job: Job, run: Run, gated: Gated) -> None:
    from gputune.report import github, junit

    if gated.checks:
        sys.stdout.write(check_lines.render(run, gated, symbols=sys.stdout.isatty()))
    if job.junit:
        write_whole(job.junit, junit.render(run, gated, inconclusive=job.inconclusive))
    if job.github:
        sys.stdout.write("".join(f"{text}\n" for text in github.workflow_commands(run, gated, github.workspace())))
        if target := os.environ.get("GITHUB_STEP_SUMMARY"):
            with open(target, "a", encoding="utf-8") as file:
                file.write(github.summary(run, gated))
        else:
            print("gputune: GITHUB_STEP_SUMMARY is not set: no summary written", file=sys.stderr)
    sys.stdout.flush()
