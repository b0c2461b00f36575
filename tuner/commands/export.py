"""``gputune export``: put the proved settings where they are used."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gputune import output, store
from gputune.errors import ExitCode
from gputune.export import FORMATS

if TYPE_CHECKING:
    from gputune.record import Run

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
            "exits with 3. A patch is rehearsed before it is offered: git applies it to a\n"
            "copy, and the patched script is run and measured for a few seconds in the\n"
            "sandbox. Nothing of yours changes before you apply it."
        )
        parser.epilog = EPILOG
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        parser.add_argument("run_reference", metavar="RUN", nargs="?", default=store.LAST,
                            help="a path, the beginning of an id, or last (default)")  # fmt: skip
        parser.add_argument("--format", choices=list(FORMATS), metavar="FORMAT", default="yaml", help="default: yaml")
        parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write there instead of to stdout")
        parser.add_argument("--no-verify", action="store_true", help="offer a patch without rehearsing it")
        output.add_results_dir(parser)

    def run(self, arguments: argparse.Namespace) -> int:
        """Write the export."""
        from gputune import record

        run = record.load(store.resolve(arguments.run_reference, arguments.results_dir))
        text = FORMATS[arguments.format].render(run)
        if arguments.format == "patch":
            text = _offered(run, text, verify=not arguments.no_verify)
        output.emit(text.encode(), arguments.output)
        return ExitCode.OK


def _offered(run: Run, text: str, *, verify: bool) -> str:
    """Return the patch with what its rehearsal said; without one, say so."""
    if not verify:
        return f"# not rehearsed (--no-verify)\n{text}"
    from gputune.export import patch, rehearsal

    done = rehearsal.rehearse(run, patch.make(run), lambda said: print(f"gputune: {said}", file=sys.stderr))
    print(f"gputune: {done.said}", file=sys.stderr)
    return f"# {done.said}\n{text}"
