"""What the tuner learns about a protected command: how it is protected, and how it ended."""

from __future__ import annotations

import msgspec


class Confinement(msgspec.Struct, frozen=True, kw_only=True):
    """Which protection holds for a running command."""

    mode: str
    """``overlay`` (writes are diverted), ``landlock`` (denied), ``copy`` (of the project) or ``none``."""
    user_namespace: bool = False
    reason: str = ""
    """Why no stronger protection was possible; empty for the strongest."""
    notes: list[str] = []
    """What the user should know: read-only directories, writes that go to another disk."""
    scratch: str = ""
    target_pid: int = 0
    setup_s: float = 0.0
    """From the start of the keeper's work to the protected command, its interpreter's start not included."""

    def __str__(self) -> str:
        sentences = {
            "overlay": "your files are protected: everything the script writes goes to a scratch space",
            "landlock": "your files are protected: the script may not write to them (a write fails)",
            "copy": "the script works on a copy of its directory; writes by absolute path elsewhere are real",
            "none": "your files are NOT protected: the script writes for real",
        }
        return sentences[self.mode] + (f" ({self.reason})" if self.reason else "")


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """One file the command wrote."""

    path: str
    action: str
    """``created``, ``changed``, ``deleted`` or ``renamed``."""
    bytes: int
    renamed_from: str = ""


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How the command ended and what was buried with it."""

    status: int
    """Exit status, or minus the signal number."""
    reason: str = ""
    """``stopped``, ``tuner_gone`` or ``scratch_limit: ...``; empty when the command ended by itself."""
    killed: int = 0
    """Processes the command left behind that had to be ended."""
    left: list[int] = []
    """Processes that could not be ended."""
    not_removed: list[str] = []
    """Scratch directories that are still there; the next run tries again."""
    files: int = 0
    bytes: int = 0
    written: list[Written] = []
