"""``gputune compare``: two stored runs against each other."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from gputune import output, store
from gputune.errors import ExitCode

if TYPE_CHECKING:
    from gputune.compare import Comparison
    from gputune.record import Run


class Compare:
    """Say whether run B is faster than run A, how sure that is, and which part of the step moved."""

    name = "compare"
    help = "compare two stored runs: faster, slower, or no measurable change"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.description = (
            "examples:\n"
            "  gputune compare 20261123 last\n"
            "  gputune compare results/reference/before results/reference/after\n\n"
            "Compares what both scripts did under their own settings. A change is called\n"
            "one only when its 95 %% interval excludes 1 and it is at least 2 %%. Exits\n"
            "with 3 when the measurements are too noisy to tell."
        )
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        parser.add_argument("a", metavar="A", help="the run before: a path, the beginning of an id, or last")
        parser.add_argument("b", metavar="B", help="the run after")
        output.add_results_dir(parser)

    def run(self, arguments: argparse.Namespace) -> int:
        """Print the comparison to stdout."""
        from gputune import compare, record

        a, b = (record.load(store.resolve(name, arguments.results_dir)) for name in (arguments.a, arguments.b))
        found = compare.of(a, b)
        output.emit(text(a, b, found).encode(), None)
        return ExitCode.INCONCLUSIVE if found.change is compare.Change.UNCLEAR else ExitCode.OK


def text(a: Run, b: Run, found: Comparison) -> str:
    """Return the comparison for the terminal, the verdict first."""
    from gputune import stats, words
    from gputune.numbers import rate, seconds

    lines = [words.compared(found.ratio, found.change.value)]
    if moved := found.moved:
        lines.append(words.moved(moved.line.value, moved.before_s, moved.after_s))
    if found.differences:
        lines.append(words.other_machine(found.differences))
    lines.append("")
    for name, run in (("A", a), ("B", b)):
        speed = rate(stats.samples_per_s(run.baseline)) if run.baseline else "not measured"
        lines.append(f"  {name}  {run.id:<28}  {speed}")
    lines += ["", f"  {'an average step':<26}{'A':>10}{'B':>10}"]
    lines += [
        f"  {words.LINE_NAMES[line.line.value]:<26}{seconds(line.before_s):>10}{seconds(line.after_s):>10}"
        for line in found.lines
    ]
    lines += ["", f"next: gputune report {b.id}"]
    return "\n".join(lines) + "\n"
