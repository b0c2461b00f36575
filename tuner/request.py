"""A checked command line of ``gputune profile``, and what came of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from gputune import machine, reuse
from gputune.options import Options
from gputune.probes.sandbox import plan
from gputune.record import Run
from gputune.script import Script


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What to profile, and how."""

    script: Script
    cwd: Path
    results_dir: Path
    options: Options
    device: str | None = None
    quiet: bool = False
    allow_writes: bool = False
    scratch_limit_bytes: int = plan.DEFAULT_SCRATCH_LIMIT_BYTES
    resume: bool = False
    """Continue the last run of this command, which was interrupted."""
    fresh: bool = False
    """Measure also where nothing has changed since the last run."""

    def now(self) -> reuse.Now:
        """Return what a result of this request rests on."""
        return reuse.Now(
            command=self.script.command,
            cwd=str(self.cwd),
            options=self.recorded_options(),
            machine=machine.describe(),
            own_interpreter=self.script.scope == "self",
        )

    def recorded_options(self) -> dict[str, Any]:
        """Return the options as a record holds them."""
        about: dict[str, Any] = msgspec.to_builtins(self.options)
        if self.options.storage:
            about["storage"] = "shared"  # the address may hold a password
        return {**about, "device": self.device, "allow_writes": self.allow_writes}


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it."""

    run: Run | None
    folder: Path
    exit_code: int
