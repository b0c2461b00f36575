"""The far end of :mod:`writer_process`: maps the arena, writes what it is told, ends when its parent does."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
from typing import Any

from gputune.probes.runtime.checkpoint.archive import write_durably
from gputune.probes.runtime.checkpoint.staging import Arena
from gputune.probes.runtime.checkpoint.writer_process import decode, receive, send

_NICENESS = 5  # as the thread's, see lane.py
_ORPHAN_CHECK_S = 1.0


def serve(fd: int, parent_pid: int) -> None:
    """Obey jobs from ``fd`` until it closes or the parent dies; a job begun is always finished."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.nice(_NICENESS)
    near = socket.socket(fileno=fd)
    arena = Arena()
    with contextlib.suppress(EOFError, ConnectionError):
        while os.getppid() == parent_pid:
            ready, _, _ = select.select([near], [], [], _ORPHAN_CHECK_S)
            if ready:
                arena = _obey(near, arena)


def _obey(near: socket.socket, arena: Arena) -> Arena:
    message, attached_fd = receive(near)
    if attached_fd is not None:
        arena.close()
        return Arena.attach(attached_fd, message["attach_bytes"])
    answer: dict[str, Any] = {"error": "", "errno": 0}
    try:
        if not message.get("ready"):
            write_durably(decode(message), arena)
    except Exception as error:  # noqa: BLE001 - it crosses the process boundary and is raised over there
        answer = {"error": f"{error}", "errno": getattr(error, "errno", 0) or 0}
        if isinstance(error, OSError) and error.errno:
            answer["error"] = f"{error.strerror}: {error.filename}" if error.filename else f"{error.strerror}"
    send(near, answer)
    return arena
