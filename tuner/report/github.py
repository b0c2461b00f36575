"""Checks for GitHub Actions: a job summary in Markdown and annotations on the line that constructs the loader."""

from __future__ import annotations

import os
from pathlib import Path

from gputune.gate import Gated
from gputune.judging import Check, Verdict
from gputune.record import Run
from gputune.report.check_lines import summary as summary_line
from gputune.report.markdown import escape
from gputune.report.markdown import render as report

MAX_SUMMARY_BYTES = 900 << 10
"""GitHub refuses summaries of a step above 1 MiB; the whole step shares it."""
_ICONS = {Verdict.PASS: "✅ pass", Verdict.FAIL: "❌ fail", Verdict.INCONCLUSIVE: "❔ inconclusive"}
_LEVELS = {Verdict.FAIL: "error", Verdict.INCONCLUSIVE: "warning"}


def summary(run: Run, gated: Gated) -> str:
    """Return Markdown: the checks first, the report of the run folded below, never above the size GitHub takes."""
    head = f"### {escape(summary_line(run, gated))}\n\n| | required | measured | |\n|---|---|---|---|\n"
    rows = "".join(_row(check) for check in gated.checks)
    folded = f"\n<details><summary>Report</summary>\n\n{report(run)}\n</details>\n"
    text = head + rows
    if len((text + folded).encode()) <= MAX_SUMMARY_BYTES:
        return text + folded
    return text.encode()[:MAX_SUMMARY_BYTES].decode(errors="ignore")


def _row(check: Check) -> str:
    cells = (_ICONS[check.verdict], f"`{check.requirement.text}`", escape(check.shown), escape(check.reason))
    return "| " + " | ".join(cell.replace("\n", " ") for cell in cells) + " |\n"


def workflow_commands(run: Run, gated: Gated, root: Path) -> list[str]:
    """Return a workflow command for every check that did not pass.

    Args:
        run: what was gated.
        gated: its checks.
        root: the repository; places are given relative to it.
    """
    place = _place(run, root)
    found = []
    for check in gated.checks:
        if level := _LEVELS.get(check.verdict):
            reason = f": {check.reason}" if check.reason else ""
            message = _data(f"required {check.requirement.text}, measured {check.shown}{reason}")
            found.append(f"::{level} {place}title={_property('gputune check')}::{message}")
    return found


def _place(run: Run, root: Path) -> str:
    site = run.loader
    if site is None:
        return ""
    file, line = (site.user_file, site.user_line) if site.user_file else (site.file, site.line)
    path = Path(file)
    shown = path.relative_to(root) if path.is_relative_to(root) else path
    return f"file={_property(str(shown))},line={line},"


def workspace() -> Path:
    """Return the checkout of the job, or the working directory outside GitHub."""
    return Path(os.environ.get("GITHUB_WORKSPACE") or Path.cwd()).resolve()


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
