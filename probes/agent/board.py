"""Where workers post the hotspots of a diagnostic burst: a page each in the shared memory of the clock.

A page has one writer and a sequence number that is odd while it is written, so no lock is needed.
"""

from __future__ import annotations

import mmap
import struct
from collections import defaultdict

import msgspec

from gputune.probes.agent.stacks import Key
from gputune.probes.burst import Where

PAGES = 32
"""Workers beyond this many are not sampled."""
PAGE_BYTES = 16 << 10
_HEADER_BYTES = 64
BYTES = _HEADER_BYTES + PAGES * PAGE_BYTES
_HEAD = struct.Struct("<II")  # sequence number, length
KEPT = 60
"""Places posted by one worker: file names of 200 characters still fit its page."""


class Board:
    """The pages, at an offset of a mapping that training process and workers share."""

    def __init__(self, shared: mmap.mmap, offset: int) -> None:
        self._map, self._offset = shared, offset

    @property
    def wanted(self) -> bool:
        """Whether workers started now are to be sampled."""
        return self._map[self._offset] == 1

    def want(self, wanted: bool) -> None:
        """Say whether workers started from now on are to be sampled, and clear all pages."""
        self._map[self._offset] = int(wanted)
        for page in range(PAGES):
            _HEAD.pack_into(self._map, self._base(page), 0, 0)

    def post(self, page: int, seconds: dict[Key, float]) -> None:
        """Replace a page; only its own worker may call this."""
        ordered = sorted(seconds.items(), key=lambda item: -item[1])[:KEPT]
        payload = msgspec.msgpack.encode([(key[0].value, *key[1:], value) for key, value in ordered])
        while len(payload) > PAGE_BYTES - _HEAD.size:
            ordered = ordered[: len(ordered) // 2]
            payload = msgspec.msgpack.encode([(key[0].value, *key[1:], value) for key, value in ordered])
        base = self._base(page)
        sequence, _ = _HEAD.unpack_from(self._map, base)
        _HEAD.pack_into(self._map, base, sequence + 1, 0)
        self._map[base + _HEAD.size : base + _HEAD.size + len(payload)] = payload
        _HEAD.pack_into(self._map, base, sequence + 2, len(payload))

    def read(self) -> dict[Key, float]:
        """Return the seconds of all workers together; a page that is being written is left out."""
        together: dict[Key, float] = defaultdict(float)
        for page in range(PAGES):
            base = self._base(page)
            sequence, size = _HEAD.unpack_from(self._map, base)
            payload = bytes(self._map[base + _HEAD.size : base + _HEAD.size + size])
            if not size or sequence % 2 or _HEAD.unpack_from(self._map, base)[0] != sequence:
                continue
            for where, file, line, function, via, caller, value in msgspec.msgpack.decode(payload, type=list[_Row]):
                together[(where, file, line, function, via, caller)] += value
        return together

    def _base(self, page: int) -> int:
        return self._offset + _HEADER_BYTES + page * PAGE_BYTES


_Row = tuple[Where, str, int, str, str, str, float]
