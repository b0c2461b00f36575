"""The helper process that writes checkpoints outside the training process, from memory both share."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import select
import socket
import struct
import subprocess
import sys
from typing import Any

from gputune.probes.runtime.checkpoint.archive import WriteJob
from gputune.probes.runtime.checkpoint.capture import Record
from gputune.probes.runtime.checkpoint.destination import Destination
from gputune.probes.runtime.checkpoint.staging import Arena

_LENGTH = struct.Struct("<I")
_START = (
    "import sys; sys.path[:] = {path!r}; "
    "from gputune.probes.runtime.checkpoint.writer_main import serve; serve({fd}, {pid})"
)


class WriterProcess:
    """The near end: starts the process on first use, sends jobs, and says when it cannot."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._generation = -1
        self._ready = False
        self._broken = not hasattr(socket, "send_fds")

    def warm_up(self) -> None:
        """Start the process and wait until it has imported torch; without it the first write pays for that."""
        if self._broken:
            return
        try:
            self._is_ready(self._connection(), None)
        except (OSError, EOFError):
            self._broken = True
            self.close()

    def write(self, job: WriteJob, arena: Arena) -> bool:
        """Have ``job`` written; returns False when the process cannot be used (yet) and the caller has to write.

        Raises:
            OSError, RuntimeError: the process reported that the file cannot be written.
        """
        if self._broken or arena.fd < 0:
            return False
        try:
            near = self._connection()
            if not self._is_ready(near, 0):
                return False
            if self._generation != arena.generation:
                send(near, {"attach_bytes": arena.capacity_bytes}, arena.fd)
                self._generation = arena.generation
            send(near, encode(job))
            answer, _ = receive(near)
        except (OSError, EOFError):
            # Killed, perhaps for memory: the copy is still in the arena, so nothing is lost.
            self._broken = True
            self.close()
            return False
        if answer.get("error"):
            kind = OSError if answer["errno"] else RuntimeError
            raise kind(*filter(None, (answer["errno"], answer["error"])))
        return True

    def close(self) -> None:
        """End the process: it exits when the connection closes."""
        self.abandon()
        if self._process is not None:
            try:
                self._process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def abandon(self) -> None:
        """Close this end only; in a forked child the process belongs to the parent."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._generation = -1

    def _connection(self) -> socket.socket:
        if self._socket is None:
            near, far = socket.socketpair()
            # Isolated (-I) so that no start-up hook of the user's environment runs in it; a session of its
            # own so that Ctrl-C and a group's SIGTERM reach the training process only.
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-c", _START.format(path=sys.path, fd=far.fileno(), pid=os.getpid())],
                pass_fds=(far.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
            far.close()
            self._socket, self._ready = near, False
            send(near, {"ready": True})
        return self._socket

    def _is_ready(self, near: socket.socket, timeout_s: float | None) -> bool:
        """Whether the process has said that it serves; waits that long for it to say so."""
        if not self._ready and select.select([near], [], [], timeout_s)[0]:
            receive(near)
            self._ready = True
        return self._ready


def encode(job: WriteJob) -> dict[str, Any]:
    """Return ``job`` as JSON-able data."""
    return dataclasses.asdict(job)


def decode(data: dict[str, Any]) -> WriteJob:
    """Return the job that :func:`encode` made ``data`` from."""
    where = data["destination"]
    owner = tuple(where.pop("owner") or ()) or None
    return WriteJob(
        destination=Destination(**where, owner=owner),
        records=tuple(Record(**record) for record in data["records"]),
        compute_crc32=data["compute_crc32"],
        alignment=data["alignment"],
    )


def send(connection: socket.socket, message: dict[str, Any], fd: int | None = None) -> None:
    """Send one message, with a file descriptor when given."""
    body = json.dumps(message).encode()
    header = _LENGTH.pack(len(body))
    if fd is None:
        connection.sendall(header)
    else:
        socket.send_fds(connection, [header], [fd])
    connection.sendall(body)


def receive(connection: socket.socket) -> tuple[dict[str, Any], int | None]:
    """Return the next message and the descriptor that came with it.

    Raises:
        EOFError: the other side is gone.
    """
    header, fds, _, _ = socket.recv_fds(connection, _LENGTH.size, 1)
    with contextlib.closing(_Reader(connection, header)) as reader:
        (length,) = _LENGTH.unpack(reader.take(_LENGTH.size))
        message = json.loads(reader.take(length))
    return message, (fds[0] if fds else None)


class _Reader:
    """Collects exact amounts from a stream socket."""

    def __init__(self, connection: socket.socket, begun: bytes) -> None:
        self._connection, self._held = connection, begun

    def take(self, size: int) -> bytes:
        while len(self._held) < size:
            chunk = self._connection.recv(size - len(self._held))
            if not chunk:
                raise EOFError("the writer's other end is gone")
            self._held += chunk
        taken, self._held = self._held[:size], self._held[size:]
        return taken

    def close(self) -> None:
        """Nothing may be left over: messages are strictly alternating."""
        self._held = b""
