"""Turns valid inputs into hostile ones: by bytes, and by structure where the bytes are JSON. Seeded, fast."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, -(2**63), 10**30, 0.0, -0.0, 1e308, -1e308, 1e-320, 0.5,
    "", "x", "../../../../etc/passwd", "/dev/full", "\x00", "\u202e", "\ud7ff", "a" * 5000, "!!python/object:os.system",
    "__import__('os').system('touch /tmp/owned')", [], {}, [[]], [None], {"": None}, {"schema_version": 99},
    [0] * 50, "2026-13-45T99:99", "NaN", float("inf"), float("nan"),
)  # fmt: skip
TOKENS = (
    b"{", b"}", b"[", b"]", b'"', b":", b",", b"null", b"1e999", b"-", b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\n",
    b"&a", b"*a", b"!!python/object/apply:os.system [id]", b"<<: *a", b"%YAML 9.9", b"---", b"? ", b"|", b"'''", b"=",
    b"[[x]]", b"[a.b]", b"0x", b"1979-05-27T07:32:00Z", b"\xc0", b"\xdf\xff\xff\xff\xff", b"\xc9",
)  # fmt: skip


class Mutator:
    """Makes inputs from seeds.

    Args:
        seeds: valid inputs.
        seed: of the random stream.
    """

    def __init__(self, seeds: list[bytes], seed: int) -> None:
        self._random = random.Random(seed)
        self._seeds = seeds
        self._documents = [document for document in map(_document, seeds) if document is not None]

    def next(self) -> bytes:
        """Return one hostile input."""
        if self._documents and self._random.random() < 0.5:
            document = json.loads(self._random.choice(self._documents))
            for _ in range(self._random.choice((1, 1, 1, 2, 4))):
                document = self._changed(document)
            return json.dumps(document).encode("utf-8", "surrogatepass")
        data = bytearray(self._random.choice(self._seeds))
        for _ in range(self._random.choice((1, 1, 2, 4, 16))):
            self._damage(data)
        return bytes(data)

    def _changed(self, document: Any) -> Any:
        """Replace, remove, add or rename one thing somewhere in a document."""
        here: Any = document
        while True:
            keys = list(here) if isinstance(here, dict) else range(len(here)) if isinstance(here, list) else ()
            if not keys:
                return self._value()
            key = self._random.choice(keys)
            if isinstance(here[key], (dict, list)) and here[key] and self._random.random() < 0.7:
                here = here[key]
                continue
            self._change(here, key)
            return document

    def _change(self, here: Any, key: Any) -> None:
        how = self._random.random()
        if how < 0.6:
            here[key] = self._value()
        elif how < 0.75:
            del here[key]
        elif isinstance(here, dict):
            here[self._random.choice(("", "x", "schema_version", "settings", str(key) + "_"))] = copy.deepcopy(
                here[key]
            )
        else:
            here.extend(copy.deepcopy(here[key]) for _ in range(self._random.choice((1, 100))))

    def _value(self) -> Any:
        return copy.deepcopy(self._random.choice(VALUES))

    def _damage(self, data: bytearray) -> None:
        at = self._random.randrange(len(data) + 1)
        how = self._random.randrange(6)
        if how == 0 and data:
            data[at % len(data)] ^= 1 << self._random.randrange(8)
        elif how == 1:
            data[at:at] = self._random.choice(TOKENS)
        elif how == 2:
            del data[at : at + self._random.choice((1, 1, 8, 64))]
        elif how == 3:
            data[at:at] = data[at : at + 64] * self._random.choice((1, 2, 50))
        elif how == 4:
            data[at:at] = self._random.randbytes(self._random.choice((1, 4, 64)))
        else:
            del data[at:]


def _document(seed: bytes) -> bytes | None:
    """Return the seed if it is JSON, re-encoded by the standard library, else ``None``."""
    try:
        return json.dumps(json.loads(seed)).encode()
    except ValueError:
        return None
