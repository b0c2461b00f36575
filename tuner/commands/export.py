"""``gputune export``: put the proved settings where they are used."""

from __future__ import annotations

import argparse
from pathlib import Path

from gputune import output, store
from gputune.errors import ExitCode
from gputune.export import FORMATS

EPILOG = "formats:\n" + "\n".join(f"  {row.name:<17} {row.summary}" for row in FORMATS.values())


class Export:
    """Write the recommendation of a stored run in a form that other tools take."""

    name = "export"
    help = "write the proved settings as a patch, a configuration, framework arguments, ..."

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.description = (
            "examples:\n"
            "  gputune export --format patch | git apply\n"
            "  gputune export last --format yaml -o gputune.yaml\n\n"
            "Only settings proved better than your own are exported; a run without any\n"
            "exits with 3."
        )
        parser.epilog = EPILOG
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        parser.add_argument("run_reference", metavar="RUN", nargs="?", default=store.LAST,
                            help="a path, the beginning of an id, or last (default)")  # fmt: skip
        parser.add_argument("--format", choices=list(FORMATS), metavar="FORMAT", default="yaml", help="default: yaml")
        parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write there instead of to stdout")
        output.add_results_dir(parser)

    def run(self, arguments: argparse.Namespace) -> int:
        """Write the export."""
        from gputune import record

        run = record.load(store.resolve(arguments.run_reference, arguments.results_dir))
        output.emit(FORMATS[arguments.format].render(run).encode(), arguments.output)
        return ExitCode.OK
