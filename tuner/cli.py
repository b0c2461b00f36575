"""The command line: parse, run one verb, turn our errors into one clear line and the right exit code."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from gputune import manual
from gputune._version import __version__
from gputune.commands import load_all
from gputune.errors import ExitCode, GputuneError

_DESCRIPTION = "Why is my GPU idle, how much would I gain, and which settings fix it?"
_EPILOG = """\
examples:
  gputune profile train.py --lr 3e-4     measure, search, prove, recommend
  gputune run train.py --lr 3e-4         run with the recommended settings

exit codes: 0 ok, 1 a gate failed, 2 usage, 3 inconclusive, 4 the script failed,
130 interrupted; `run` returns the script's own status.

gputune VERB --help tells more; gputune completion bash|zsh|fish completes it all.
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser with every verb."""
    parser = argparse.ArgumentParser(
        prog="gputune",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"gputune {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for command in load_all():
        sub = verbs.add_parser(
            command.name,
            help=command.help,
            description=command.help,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.configure(sub)
        manual.extend(command.name, sub)
        sub.set_defaults(command=command)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code."""
    arguments = build_parser().parse_args(argv)
    try:
        return int(arguments.command.run(arguments))
    except GputuneError as error:
        print(f"gputune: {error}", file=sys.stderr)
        if error.hint:
            print(f"gputune: {error.hint}", file=sys.stderr)
        return int(error.exit_code)
    except KeyboardInterrupt:
        print("gputune: interrupted", file=sys.stderr)
        return int(ExitCode.INTERRUPTED)


def entry() -> None:
    """Entry point of the console script."""
    sys.exit(main())
