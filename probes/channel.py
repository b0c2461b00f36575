"""A framed, typed message channel over two pipe descriptors.

Pipes and not sockets: they have no name and no port, they are inherited by exec, and either end sees at once
when the other is gone.
"""

from __future__ import annotations

import os
import select
import struct
import time
from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec

_HEADER = struct.Struct("<I")
MAX_MESSAGE_BYTES = 64 << 20
T = TypeVar("T")


class ChannelClosed(Exception):
    """The other end is gone."""


class ChannelGarbled(ChannelClosed):
    """The other end sent something that is no message: nothing it says from here on can be understood."""


class ChannelTimeout(Exception):
    """No complete message arrived before the deadline."""


class Channel(Generic[T]):
    """Sends any message of the protocol and receives messages of type ``T``.

    Args:
        read_fd: descriptor to read from; owned by the channel.
        write_fd: descriptor to write to; owned by the channel.
        receives: the union of message types accepted; anything else is garbled.
    """

    def __init__(self, read_fd: int, write_fd: int, receives: object) -> None:
        self._read_fd, self._write_fd = read_fd, write_fd
        self._decode: Callable[[bytes], T] = msgspec.msgpack.Decoder(receives).decode
        self._encode = msgspec.msgpack.Encoder().encode
        self._buffer = bytearray()

    def send(self, message: msgspec.Struct) -> None:
        """Write one message.

        Raises:
            ChannelClosed: when the reader has gone.
        """
        body = self._encode(message)
        data = memoryview(_HEADER.pack(len(body)) + body)
        try:
            while data:
                data = data[os.write(self._write_fd, data) :]
        except (BrokenPipeError, OSError) as error:
            raise ChannelClosed(str(error)) from error

    def receive(self, timeout_s: float | None) -> T:
        """Return the next message, waiting at most ``timeout_s`` seconds (``None``: for ever).

        Raises:
            ChannelClosed: the other end is gone.
            ChannelGarbled: it sent something that is no message.
            ChannelTimeout: nothing complete arrived in time.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            message = self._complete()
            if message is not None:
                return self._decoded(message)
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            ready, _, _ = select.select([self._read_fd], [], [], left)
            if not ready:
                raise ChannelTimeout(f"no message within {timeout_s:.1f} s")
            try:
                chunk = os.read(self._read_fd, 1 << 16)
            except OSError as error:
                raise ChannelClosed(str(error)) from error
            if not chunk:
                raise ChannelClosed("end of stream")
            self._buffer += chunk

    def _decoded(self, message: bytes) -> T:
        try:
            return self._decode(message)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ChannelGarbled(" ".join(str(error).split())) from error

    def _complete(self) -> bytes | None:
        if len(self._buffer) < _HEADER.size:
            return None
        (size,) = _HEADER.unpack_from(self._buffer)
        if size > MAX_MESSAGE_BYTES:
            raise ChannelGarbled(f"message of {size} bytes is over the limit of {MAX_MESSAGE_BYTES}")
        end = _HEADER.size + size
        if len(self._buffer) < end:
            return None
        message = bytes(self._buffer[_HEADER.size : end])
        del self._buffer[:end]
        return message

    def close(self) -> None:
        """Close both descriptors; closing twice does nothing."""
        for fd in (self._read_fd, self._write_fd):
            if fd >= 0:
                os.close(fd)
        self._read_fd = self._write_fd = -1
