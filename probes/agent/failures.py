"""Says in one line why a trial failed."""

from __future__ import annotations

import signal
from typing import Any

from gputune.probes.agent.hooks import HUNG, TrialDeadline
from gputune.probes.agent.samples import SamplesChanged

_HINTS = {
    signal.SIGKILL: "out of memory?",
    signal.SIGBUS: "is /dev/shm full?",
    signal.SIGSEGV: "not safe to fork?",
}


def explain(iterator: Any, error: Exception) -> str:
    """Return the reason for a failed trial: a dead worker if there is one, else the exception.

    Args:
        iterator: the loader iterator as the failure left it.
        error: what torch or the user's code raised; a dead worker often shows as a broken connection.
    """
    if isinstance(error, SamplesChanged):
        return str(error)
    for worker in iterator.__dict__.get("_workers", []):
        if not worker.is_alive() and worker.exitcode is not None:
            return _death(worker.exitcode)
    return HUNG if isinstance(error, TrialDeadline) else one_line(error)


def _death(exitcode: int) -> str:
    if exitcode >= 0:
        return f"a worker exited unexpectedly with status {exitcode}"
    number = signal.Signals(-exitcode)
    hint = f" ({_HINTS[number]})" if number in _HINTS else ""
    return f"a worker was killed by {number.name}{hint}"


def one_line(error: Exception) -> str:
    """Return an exception as one line; of a worker's traceback only its last line."""
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    text = f"{type(error).__name__}: {lines[0]}"
    if lines[0].startswith("Caught") and len(lines) > 1:
        text = f"{lines[-1]} (in a worker)"
    if "shared memory(shm)" in text:
        text = f"no shared memory left for a batch (is /dev/shm full?): {text}"
    return text[:300]
