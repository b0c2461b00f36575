"""Lets a measurement have the machine where other people's work runs on it, too.

Linux schedules by session first (autogroups): a high priority inside one session means nothing to processes of
another, and a target is started in a session of its own. So the sessions themselves are favoured, which needs root;
elsewhere this does nothing. See sched(7), "The autogroup feature".
"""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil

AUTOGROUP_NICE = -15
POLL_S = 0.05


def run(command: list[str], *, timeout_s: float, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run a command like ``subprocess.run`` with captured text, its sessions favoured from their start."""
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, **more
    )
    favoured: set[int] = set()
    until_s = time.monotonic() + timeout_s
    while True:
        _favour(process.pid, favoured)
        try:
            output, errors = process.communicate(timeout=POLL_S if len(favoured) < 3 else 10 * POLL_S)
            return subprocess.CompletedProcess(command, process.returncode, output, errors)
        except subprocess.TimeoutExpired:
            if time.monotonic() > until_s:
                process.terminate()
                raise


def _favour(pid: int, favoured: set[int]) -> None:
    """Raise the scheduling group of each session below a process."""
    try:
        pids = [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
        sessions = {os.getsid(each) for each in pids}
        for session in sessions - favoured:
            Path(f"/proc/{session}/autogroup").write_text(str(AUTOGROUP_NICE))
            favoured.add(session)
    except (OSError, psutil.Error):  # it ended just now, or we may not
        return
