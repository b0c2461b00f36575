"""What ``[tool.gputune.check]`` in pyproject.toml says."""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import Literal

import msgspec

from gputune.errors import UsageError

MAX_FILE_BYTES = 1 << 20


class CheckOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The keys of the table; the command line wins over them."""

    require: list[str] = []
    baseline: str = ""
    budget: float = 45.0
    inconclusive: Literal["pass", "fail", ""] = ""
    junit: str = ""
    github_summary: bool = False


def load(folder: Path) -> CheckOptions:
    """Return the table of the nearest pyproject.toml at or above ``folder``; without one, the defaults.

    Raises:
        UsageError: unreadable, no TOML, an unknown key, or a value of the wrong kind.
    """
    for parent in (folder, *folder.resolve().parents):
        if (path := parent / "pyproject.toml").is_file():
            return _parse(path)
    return CheckOptions()


def _parse(path: Path) -> CheckOptions:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise UsageError(f"{path} is larger than {MAX_FILE_BYTES} bytes", "a pyproject.toml is a few kilobytes")
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    tool = raw.get("tool", {})
    ours = tool.get("gputune", {}) if isinstance(tool, dict) else {}
    table = ours.get("check", {}) if isinstance(ours, dict) else {}
    if not isinstance(table, dict):
        raise UsageError(f"{path}: tool.gputune.check is no table", 'write: [tool.gputune.check] require = ["..."]')
    known = list(CheckOptions.__struct_fields__)
    for key in table:
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"keys: {', '.join(known)}"
            raise UsageError(f"{path}: [tool.gputune.check] has no key {key!r}", hint)
    try:
        options = msgspec.convert(table, CheckOptions)
    except msgspec.ValidationError as error:
        raise UsageError(f"{path}: [tool.gputune.check]: {error}") from error
    if not 0 < options.budget < float("inf"):
        raise UsageError(f"{path}: budget = {options.budget:g}: a budget is a number of seconds above 0")
    return options
