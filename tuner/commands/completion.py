"""``gputune completion``: the completion script of a shell."""

from __future__ import annotations

import argparse

from gputune.errors import ExitCode

NAMES = ("bash", "zsh", "fish")


class Completion:
    """Print the script that makes a shell complete verbs, options, formats and stored runs."""

    name = "completion"
    help = "print the completion script of bash, zsh or fish"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.description = (
            "examples:\n"
            '  eval "$(gputune completion bash)"\n'
            "  gputune completion fish > ~/.config/fish/completions/gputune.fish\n\n"
            "Completes verbs, options, formats and the stored runs in results/. For bash\n"
            "put the first line into ~/.bashrc; for zsh save it as _gputune in a folder\n"
            "of your $fpath, or source it after compinit."
        )
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        parser.add_argument("shell", choices=NAMES, metavar="SHELL", help="bash, zsh or fish")

    def run(self, arguments: argparse.Namespace) -> int:
        """Print the script to stdout."""
        from gputune import output
        from gputune.cli import build_parser
        from gputune.completion import SHELLS, verbs

        output.emit(SHELLS[arguments.shell](verbs(build_parser())).encode(), None)
        return ExitCode.OK
