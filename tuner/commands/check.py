"""``gputune check``: the performance gate for CI."""

from __future__ import annotations

import argparse
import math
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gputune import store
from gputune.errors import ExitCode, GputuneError, InconclusiveError, UsageError

if TYPE_CHECKING:
    from gputune.check_job import Job
    from gputune.check_options import CheckOptions
    from gputune.script import Script

_EXAMPLES = """\
examples:
  gputune check --require 'starvation < 5%, of_ceiling > 90%' train.py
  gputune check --loader pkg.data:make --step-ms 40 --require 'data_wait < 3%'

Measures the script as it is in short repeated bursts until every requirement
is decided or the budget is over. RUN gates a stored run, nothing is run.
Options come before the script or RUN; defaults are in pyproject.toml under
[tool.gputune.check]. Exits with 0 pass, 1 fail, 2 usage, 3 inconclusive, 4 the
script failed. docs/ci.md has workflow files to copy.
"""


class Check:
    """Hold a script, or a stored run, to requirements and a baseline."""

    name = "check"
    help = "gate a script in CI: thresholds and regressions, with honest noise"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Add the options."""
        from gputune.arguments import add_script

        parser.epilog = _EXAMPLES
        add = parser.add_argument
        add("--require", action="append", default=[], metavar="REQUIREMENT", help="e.g. 'throughput >= 1200'")
        add("--baseline", metavar="NAME|FILE", help="compare with this one (default: the script's name, if there)")
        add("--save-baseline", metavar="NAME", help="store what was measured for later comparisons")
        add("--acknowledge", metavar="REASON", help="accept a regression and record why in the baseline")
        add("--against", metavar="REV", help="compare with a git revision, interleaved on this machine")
        add("--budget", type=float, metavar="SECONDS", help="stop undecided after this time (default 45)")
        add("--inconclusive", choices=("pass", "fail"), help="what an undecided check counts as (default: exit 3)")
        add("--junit", type=Path, metavar="FILE", help="also write JUnit XML")
        add("--github-summary", action="store_true", help="write the step summary and annotations")
        add("--loader", metavar="MODULE:NAME", help="gate a function that makes a loader, without a script")
        add("--step-ms", type=float, metavar="MS", help="simulated step time for --loader")
        add("--device", metavar="cuda:N|cpu", help="device to watch (default: the one the script uses)")
        add("--allow-writes", action="store_true", help="let the script write for real")
        add("--results-dir", type=Path, default=store.RESULTS, metavar="DIR", help="where runs are kept")
        add("--quiet", action="store_true", help="no progress, only the checks")
        add_script(parser)

    def run(self, arguments: argparse.Namespace) -> int:
        """Check the input and carry the job out."""
        from gputune import check_options
        from gputune.check_job import do, exit_code

        signal.signal(signal.SIGTERM, signal.default_int_handler)  # a polite kill cleans up like Ctrl-C
        options = check_options.load(Path.cwd())
        job = _job(arguments, options)
        try:
            return do(job, _progress(arguments.quiet))
        except GputuneError as error:
            _tell_failure(job, error)
            if isinstance(error, InconclusiveError) and job.inconclusive:
                print(f"gputune: inconclusive, counted as {job.inconclusive}: {error}", file=sys.stderr)
                return exit_code(ExitCode.INCONCLUSIVE, job.inconclusive)
            raise


def _job(arguments: argparse.Namespace, options: CheckOptions) -> Job:
    from gputune import baseline, requirement
    from gputune.arguments import check_device
    from gputune.check_job import Job

    budget_s = options.budget if arguments.budget is None else arguments.budget
    if not 0 < budget_s < math.inf:
        raise UsageError(f"--budget {budget_s:g}: a budget is a number of seconds above 0", "example: --budget 60")
    check_device(arguments.device)
    script, stored, name = _what(arguments)
    if stored and (arguments.against or arguments.device):
        raise UsageError("--against and --device need a script to run, not a stored run", "give the script")
    junit = arguments.junit or (Path(options.junit) if options.junit else None)
    if junit and not junit.absolute().parent.is_dir():
        raise UsageError(f"--junit {junit}: there is no folder {junit.parent}", "create it first")
    acknowledge = arguments.acknowledge
    if acknowledge is not None and not acknowledge.strip():
        raise UsageError("--acknowledge needs a reason", "example: --acknowledge 'larger images since #42'")
    return Job(
        script=script,
        stored=stored,
        name=name,
        results_dir=arguments.results_dir,
        requirements=requirement.parse_all(arguments.require or options.require),
        baseline=arguments.baseline or options.baseline,
        save_baseline=baseline.check_name(arguments.save_baseline) if arguments.save_baseline is not None else "",
        acknowledge=acknowledge or "",
        against=arguments.against or "",
        inconclusive=arguments.inconclusive or options.inconclusive,
        budget_s=budget_s,
        junit=junit,
        github=arguments.github_summary or options.github_summary,
        device=arguments.device,
        allow_writes=arguments.allow_writes,
    )


def _what(arguments: argparse.Namespace) -> tuple[Script | None, Path | None, str]:
    """Return the script or the stored run to gate, and its name."""
    from gputune.loader_script import loader_script
    from gputune.script import parse

    words = arguments.script
    if arguments.loader is not None:
        if words or arguments.module is not None:
            raise UsageError("--loader takes the place of a script", "give one of them")
        script = loader_script(arguments.loader, arguments.step_ms)
        return script, None, script.name
    if arguments.step_ms is not None:
        raise UsageError("--step-ms is for --loader: a script has steps of its own", "drop it, or add --loader")
    if arguments.module is None and words and _means_run(words[0]):
        if len(words) > 1:
            raise UsageError(f"{words[1]} comes after the run {words[0]}", "put options before the run")
        stored = store.resolve(words[0], arguments.results_dir)
        return None, stored, _name_of(stored)
    script = parse(words, arguments.module)
    return script, None, script.name


def _means_run(word: str) -> bool:
    path = Path(word)
    if word == "--" or path.suffix == ".py":
        return False
    return path.suffix == ".json" or path.is_dir() or not path.exists()


def _name_of(stored: Path) -> str:
    """Return the name of the script of a stored run, under which its baseline would be."""
    from gputune.record import load

    command = load(stored).command
    words = command[1:] if command[:1] in (["-m"], ["--"]) else command
    return Path(words[0]).stem if words else stored.stem


def _progress(quiet: bool) -> Any:
    began_s = time.monotonic()

    def say(text: str) -> None:
        if not quiet:
            print(f"  {time.monotonic() - began_s:5.1f}s  {text}", file=sys.stderr, flush=True)

    return say


def _tell_failure(job: Job, error: GputuneError) -> None:
    """Leave a JUnit file also when nothing could be measured: CI would otherwise show the last one."""
    if job.junit is None:
        return
    from datetime import datetime

    from gputune.files import write_whole
    from gputune.report import junit

    command = " ".join(job.script.command) if job.script else str(job.stored)
    undecided = isinstance(error, InconclusiveError) and job.inconclusive != "fail"
    now, tag = datetime.now().isoformat(timespec="seconds"), "skipped" if undecided else "error"
    write_whole(job.junit, junit.failed(command, str(error), now, tag=tag))
