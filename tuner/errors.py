"""Exit codes and the errors a user may see.

GputuneError
├── UsageError          2: the command line, a setting or a configuration is wrong
├── RecordError         2: a stored run or configuration cannot be read
├── InconclusiveError   3: nothing can be said (no baseline, no loader, too noisy)
└── TargetError         4: the user's script failed
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the process returns; the same for every verb but ``run``, which returns the script's own status."""

    OK = 0
    GATE_FAILED = 1
    USAGE = 2
    INCONCLUSIVE = 3
    TARGET_FAILED = 4
    INTERNAL = 70
    INTERRUPTED = 130


class GputuneError(Exception):
    """Base of every error whose message is meant for the user.

    Args:
        message: one line that names the value and the rule it breaks.
        hint: the next step, shown on a line of its own.
    """

    exit_code = ExitCode.INTERNAL

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(GputuneError):
    """The command line, a setting or a configuration is wrong."""

    exit_code = ExitCode.USAGE


class RecordError(GputuneError):
    """A stored run or configuration cannot be read or written."""

    exit_code = ExitCode.USAGE


class InconclusiveError(GputuneError):
    """Nothing can be said."""

    exit_code = ExitCode.INCONCLUSIVE


class TargetError(GputuneError):
    """The user's script failed."""

    exit_code = ExitCode.TARGET_FAILED
