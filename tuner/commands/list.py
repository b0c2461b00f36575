"""``gputune list``: the stored runs."""

from __future__ import annotations

import argparse
import sys

from gputune import output, store
from gputune.errors import ExitCode


class List:
    """List the stored runs, the newest last."""

    name = "list"
    help = "list the stored runs"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.description = (
            "examples:\n"
            "  gputune list\n"
            "  gputune list --results-dir results/reference\n\n"
            "One run a line, the newest last: id, what came of it, command. RUN of other\n"
            "verbs takes any beginning of an id, or last."
        )
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        output.add_results_dir(parser)

    def run(self, arguments: argparse.Namespace) -> int:
        """Print the list to stdout."""
        stored = store.runs(arguments.results_dir)
        if not stored:
            print(
                f"no stored run in {arguments.results_dir}/; make one with: gputune profile SCRIPT",
                file=sys.stderr,
            )
        lines = [self._line(run) for run in stored]
        output.emit("".join(f"{line}\n" for line in lines).encode(), None)
        return ExitCode.OK

    @staticmethod
    def _line(stored: store.Stored) -> str:
        if stored.head is None:
            return f"{stored.path.name:<28}  unreadable: {stored.problem}"
        head = stored.head
        said = head.outcome if head.status == "complete" else head.status
        return f"{stored.path.name:<28}  {said.replace('_', ' '):<16}  {' '.join(head.command)}"
