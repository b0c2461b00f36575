"""``--loader pkg.data:make_loader``: a loader without a script, run against a simulated step."""

from __future__ import annotations

import re
import sys

from gputune.errors import UsageError
from gputune.script import Script

MODULE = "gputune.probes.loader_target"
_FORM = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


def loader_script(spec: str, step_ms: float | None, python: str = sys.executable) -> Script:
    """Return the command that builds a loader and goes through it.

    Args:
        spec: ``package.module:function`` (called without arguments) or ``package.module:loader``.
        step_ms: how long a step takes; the loop sleeps as long.
        python: interpreter to run it with.

    Raises:
        UsageError: malformed, or no step time.
    """
    if not _FORM.fullmatch(spec):
        raise UsageError(f"--loader {spec}: it is written module:name", "example: --loader pkg.data:make_loader")
    if step_ms is None:
        raise UsageError("--loader needs the time of a step to keep up with", "example: --step-ms 40")
    if not 0 < step_ms <= 3_600_000:
        raise UsageError(f"--step-ms {step_ms:g}: a step takes more than 0 ms", "example: --step-ms 40")
    words = [spec, "--step-ms", f"{step_ms:g}"]
    # The module's own name would be every loader's, so the command shown and the folder carry the spec.
    return Script(command=["--loader", *words], argv=[python, "-m", MODULE, *words], path=None, scope="self")
