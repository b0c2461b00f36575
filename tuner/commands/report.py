"""``gputune report``: look at a stored run."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from gputune import output, store
from gputune.errors import ExitCode
from gputune.report import FORMATS

EPILOG = "formats:\n" + "\n".join(f"  {row.name:<10} {row.summary}" for row in FORMATS.values())


class Report:
    """Show a stored run in one of the report formats."""

    name = "report"
    help = "show a stored run: in the terminal, as a page, as a trace"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.description = (
            "examples:\n"
            "  gputune report                          the last run, in the terminal\n"
            "  gputune report 2026 --open              a page in the browser\n\n"
            "Everything is drawn from the stored run; nothing is measured again."
        )
        parser.epilog = EPILOG
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        parser.add_argument("run_reference", metavar="RUN", nargs="?", default=store.LAST,
                            help="a path, the beginning of an id, or last (default)")  # fmt: skip
        parser.add_argument(
            "--format", choices=list(FORMATS), metavar="FORMAT", help="default: console, or html with --open"
        )
        parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write there instead of to stdout")
        parser.add_argument("--open", action="store_true", help="open the page in the browser")
        output.add_results_dir(parser)

    def run(self, arguments: argparse.Namespace) -> int:
        """Render the run."""
        from gputune import record
        from gputune.report import console

        folder = store.resolve(arguments.run_reference, arguments.results_dir)
        run = record.load(folder)
        name = arguments.format or ("html" if arguments.open else "console")
        row = FORMATS[name]
        if name == "console" and arguments.output is None:
            colored = sys.stdout.isatty() or bool(os.environ.get("FORCE_COLOR"))
            sys.stdout.write(console.render(run, color=colored, program=output.program()))
            return ExitCode.OK
        target = arguments.output
        if target is None and (arguments.open or (row.binary and sys.stdout.isatty())):
            target = (folder if folder.is_dir() else folder.parent) / f"report{row.suffix}"
        output.emit(row.render(run), target)
        if arguments.open:
            import webbrowser

            webbrowser.open(Path(target).resolve().as_uri())
        return ExitCode.OK
