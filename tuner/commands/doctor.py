"""``gputune doctor``: what a bug report needs, and what limits this machine."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from gputune.errors import ExitCode

if TYPE_CHECKING:
    from gputune.health import Fact


def sandbox_status() -> str:
    """Try out how the user's files would be protected on this machine, with a command that does nothing."""
    from gputune.probes.sandbox import plan

    return plan.probe()


class Doctor:
    """Examines the machine and prints each limit with what to do about it."""

    name = "doctor"
    help = "show what limits this machine and what a bug report needs"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Add the verb's options."""
        parser.description = (
            "examples:\n"
            "  gputune doctor\n"
            "  gputune doctor --json > doctor.json\n\n"
            "Tells what a script may use here (CPUs, memory, /dev/shm, open files, GPU,\n"
            "driver), how its files would be protected, and after a ! what to do about\n"
            "each limit. Put its output into a bug report."
        )
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        parser.add_argument("--json", action="store_true", help="print the facts as JSON on stdout")

    def run(self, arguments: argparse.Namespace) -> int:
        """Examine and print; what is found never makes it fail."""
        from gputune.health import examine
        from gputune.probes.gpu import open_gpu

        gpu = open_gpu()
        try:
            facts = examine(gpu, sandbox_status())
        finally:
            gpu.close()
        if arguments.json:
            _print_json(facts)
        else:
            _print_table(facts)
        return ExitCode.OK


def _print_json(facts: list[Fact]) -> None:
    import msgspec

    sys.stdout.write(msgspec.json.format(msgspec.json.encode({"facts": facts}), indent=1).decode() + "\n")


def _print_table(facts: list[Fact]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    table = Table("", "what", "value", box=None, pad_edge=False, show_header=False)
    for fact in facts:
        table.add_row("!" if fact.advice else "", escape(fact.name), escape(fact.value))
    console.print(table)
    limits = [fact for fact in facts if fact.advice]
    if not limits:
        return
    console.print("\nWhat limits this machine:")
    for fact in limits:
        console.print(f"! [bold]{escape(fact.name)}[/bold]: {escape(fact.advice)}")
