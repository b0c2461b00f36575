"""What every verb's help says after its own text: exit codes, files, variables, where to go on."""

from __future__ import annotations

import argparse

import msgspec

_RUNS = "results/TIME-SCRIPT/  one folder a run: run.json, the search's journal, logs"
_EXIT = {
    0: "done",
    1: "a gate failed",
    2: "usage or configuration",
    3: "inconclusive: nothing measured, nothing proved, or too noisy to tell",
    4: "the script failed",
    130: "interrupted; what was known is saved",
}


class Page(msgspec.Struct, frozen=True):
    """The reference part of one verb's help."""

    exits: tuple[int, ...]
    files: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    see_also: tuple[str, ...] = ()


_COLOR = "NO_COLOR             no colours; FORCE_COLOR: colours also into a pipe"
PAGES = {
    "profile": Page((0, 2, 3, 4, 130), (_RUNS,), (_COLOR,), ("export", "run", "report")),
    "export": Page((0, 2, 3), (_RUNS,), (), ("profile", "run")),
    "run": Page((), (_RUNS,), ("GPUTUNE_DISABLE=1    apply nothing",), ("profile", "export")),
    "check": Page(
        (0, 1, 2, 3, 4, 130), (_RUNS, "pyproject.toml        [tool.gputune.check]"), (), ("profile", "compare")
    ),
    "report": Page(
        (0, 2), (_RUNS, "report.html           written beside the run by --open"), (_COLOR,), ("compare", "list")
    ),
    "compare": Page((0, 2, 3), (_RUNS,), (), ("report", "check")),
    "list": Page((0, 2), (_RUNS,), (), ("report", "compare")),
    "doctor": Page((0, 2), (), (), ("profile",)),
    "completion": Page((0, 2), (), (), ()),
}


def extend(name: str, parser: argparse.ArgumentParser) -> None:
    """Add a verb's reference part below what its help says already."""
    page = PAGES.get(name)
    if page is None:
        return
    parts = [parser.epilog.rstrip()] if parser.epilog else []
    if page.exits:
        parts.append("exit codes:\n" + "\n".join(f"  {code:<4} {_EXIT[code]}" for code in page.exits))
    parts += [_listed("files", page.files), _listed("environment", page.variables)]
    if page.see_also:
        parts.append("see also: " + ", ".join(f"gputune {other} --help" for other in page.see_also))
    parser.epilog = "\n\n".join(part for part in parts if part)


def _listed(title: str, lines: tuple[str, ...]) -> str:
    return f"{title}:\n" + "\n".join(f"  {line}" for line in lines) if lines else ""
