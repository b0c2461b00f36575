"""``gputune profile``: measure, search, prove, recommend."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from gputune.errors import UsageError

_EXAMPLES = """\
examples:
  gputune profile train.py --lr 3e-4
  gputune profile --budget 30 --fix pin_memory=true -m package.train --epochs 5

The first word that is not one of our options is your script; everything after
it is passed on to it untouched. Nothing of yours is changed: the script runs in
its own process and is ended as soon as enough is known. A finished result is
shown again while script, modules, data files, options, versions and hardware
are unchanged (--fresh measures anyway).
"""


class Profile:
    """Find out why the GPU waits, what it costs, and which settings fix it."""

    name = "profile"
    help = "measure an unmodified training script and recommend proved settings"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Add the options."""
        from gputune.arguments import add_script

        parser.epilog = _EXAMPLES
        _add_search(parser)
        _add_measuring(parser)
        _add_results(parser)
        add_script(parser)

    def run(self, arguments: argparse.Namespace) -> int:
        """Check the input, conduct the campaign, save and show the run."""
        from gputune.arguments import check_device, parse_allowed, parse_restrictions, parse_size
        from gputune.script import parse

        if not arguments.budget > 0:
            raise UsageError(
                f"--budget {arguments.budget:g}: a budget is a number of seconds above 0",
                "example: --budget 60",
            )
        if arguments.warmup is not None and arguments.warmup < 0:
            raise UsageError(f"--warmup {arguments.warmup}: a number of batches is 0 or more", "example: --warmup 20")
        restrict, knobs = parse_restrictions(arguments.set, arguments.fix)
        allow = parse_allowed(arguments.allow)
        check_device(arguments.device)
        script = parse(arguments.script, arguments.module)

        from gputune.options import Options
        from gputune.profiling import profile
        from gputune.request import Request

        signal.signal(signal.SIGTERM, _interrupt)
        options = Options(
            budget_s=arguments.budget,
            search=not arguments.no_search,
            restrict=restrict,
            knobs=knobs,
            allow=allow,
            prefer=arguments.prefer,
            storage=arguments.storage or "",
            warmup=arguments.warmup,
            seed=arguments.seed,
        )
        request = Request(
            script=script,
            cwd=Path.cwd(),
            results_dir=arguments.results_dir,
            options=options,
            device=arguments.device,
            quiet=arguments.quiet,
            allow_writes=arguments.allow_writes,
            scratch_limit_bytes=parse_size("--scratch-limit", arguments.scratch_limit),
            resume=arguments.resume,
            fresh=arguments.fresh,
        )
        outcome = profile(request)
        self._show(outcome, arguments.json)
        return outcome.exit_code

    def _show(self, outcome: Any, json_file: str | None) -> None:
        from gputune import output
        from gputune.files import write_whole
        from gputune.record import dump
        from gputune.report import console

        if outcome.run is None:
            return
        print(console.render(outcome.run, program=output.program()), file=sys.stderr)
        if json_file == "-":
            sys.stdout.buffer.write(dump(outcome.run))
        elif json_file:
            write_whole(Path(json_file), dump(outcome.run))


def _interrupt(signum: int, frame: FrameType | None) -> None:
    """Let a polite kill end the campaign like Ctrl-C: what is known is saved."""
    raise KeyboardInterrupt


def _add_search(parser: argparse.ArgumentParser) -> None:
    """Add what shapes the search."""
    add = parser.add_argument
    add("--budget", type=float, default=90.0, metavar="SECONDS", help="time for bursts (default 90)")
    add("--no-search", action="store_true", help="only measure: baseline and ceiling")
    add("--set", action="append", default=[], metavar="NAME=V,V", help="consider only these values of a setting")
    add("--fix", action="append", default=[], metavar="NAME=V", help="hold a setting at one value")
    allow = "also search a setting that changes the samples' order"
    add("--allow", action="append", default=[], metavar="NAME", help=allow)
    prefer = "what a gain may cost: fastest, cheapest or balanced (default)"
    add("--prefer", choices=("fastest", "balanced", "cheapest"), default="balanced", help=prefer)
    storage = "share one study with identical machines: postgresql://..., sqlite:///..."
    add("--storage", metavar="URL", help=storage)
    add("--seed", type=int, default=0, help="seed of the search (default 0)")


def _add_measuring(parser: argparse.ArgumentParser) -> None:
    """Add how the script is run and watched."""
    add = parser.add_argument
    add("--warmup", type=int, metavar="BATCHES", help="discard this many batches before the baseline")
    device = "device to watch (default: the one the script uses)"
    add("--device", default=None, metavar="cuda:N|cpu", help=device)
    writes = "let the script write for real instead of into a scratch space"
    add("--allow-writes", action="store_true", help=writes)
    add("--scratch-limit", default="20G", metavar="SIZE", help="what the script may write there (default 20G)")


def _add_results(parser: argparse.ArgumentParser) -> None:
    """Add where results go."""
    add, kept = parser.add_argument, "where runs are kept (default results)"
    add("--results-dir", type=Path, default=Path("results"), metavar="DIR", help=kept)
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="continue the last run of this command, interrupted")
    again.add_argument("--fresh", action="store_true", help="measure also where nothing has changed since the last run")
    add("--json", metavar="FILE", help="also write the run as JSON; - for stdout")
    add("--quiet", action="store_true", help="no progress, only the report")
