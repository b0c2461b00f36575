"""The user's command: what to start, how to call it, and what its source says about it."""

from __future__ import annotations

import ast
import os
import re
import shutil
import sys
from pathlib import Path

import msgspec

from gputune.errors import UsageError


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """A checked command of the user."""

    command: list[str]
    """As typed: ``[script, *args]``, ``["-m", module, *args]`` or ``["--", launcher, ...]``."""
    argv: list[str]
    """What to execute."""
    path: Path | None
    """The script file, when it is known before the start."""
    scope: str
    """``self`` or ``tree``: whether the process we start is the one that trains."""

    @property
    def name(self) -> str:
        """A short name for folders."""
        text = self.path.stem if self.path else Path(self.command[1]).name if len(self.command) > 1 else "run"
        return re.sub(r"[^A-Za-z0-9_.-]+", "-", text)[:40] or "run"

    @property
    def has_main_guard(self) -> bool:
        """Whether the script protects its body from being run again by spawned workers."""
        return self.path is not None and _guarded(self.path.read_text(encoding="utf-8", errors="replace"))


def parse(words: list[str], module: list[str] | None, python: str = sys.executable) -> Script:
    """Check the user's command.

    Args:
        words: the positional words after our own options.
        module: what followed ``-m``, or ``None``.
        python: interpreter to run scripts with.

    Raises:
        UsageError: nothing to run, no such file, or not Python.
    """
    if module is not None:
        if not module:
            raise UsageError("-m needs the name of a module", "example: gputune profile -m package.train --lr 3e-4")
        return Script(command=["-m", *module], argv=[python, "-m", *module], path=None, scope="self")
    if words[:1] == ["--"]:
        return _launcher(words)
    if not words:
        raise UsageError("no script given", "example: gputune profile train.py --lr 3e-4")
    path = Path(words[0])
    _check(path)
    return Script(command=list(words), argv=[python, *words], path=path.resolve(), scope="self")


def _launcher(words: list[str]) -> Script:
    if len(words) < 2:
        raise UsageError("no command after --", "example: gputune profile -- accelerate launch train.py")
    if shutil.which(words[1]) is None:
        raise UsageError(f"{words[1]}: no such command on PATH", "check the spelling or give its full path")
    return Script(command=list(words), argv=words[1:], path=None, scope="tree")


def _check(path: Path) -> None:
    if not path.exists():
        raise UsageError(f"{path}: no such file in {os.getcwd()}", "give the path of a Python script, or -m MODULE")
    if path.is_dir():
        raise UsageError(f"{path} is a folder, not a script", f"example: gputune profile {path / 'train.py'}")
    try:
        source = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", "check its permissions") from error
    try:
        ast.parse(source, str(path))
    except (SyntaxError, ValueError) as error:
        where = f" (line {error.lineno})" if isinstance(error, SyntaxError) and error.lineno else ""
        message = error.msg if isinstance(error, SyntaxError) else str(error)
        raise UsageError(
            f"{path} is not valid Python: {message}{where}",
            "to profile another program, put -- before its command",
        ) from error


def _guarded(source: str) -> bool:
    return any(isinstance(node, ast.If) and "__name__" in ast.unparse(node.test) for node in ast.parse(source).body)
