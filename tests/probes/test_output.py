from __future__ import annotations

import os

from gputune.probes import output
from gputune.probes.output import OutputCollector


def test_a_flood_neither_blocks_the_writer_nor_fills_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(output, "FILE_LIMIT_BYTES", 100_000)
    read, write = os.pipe()
    collector = OutputCollector(read, tmp_path / "log")
    for _ in range(2000):
        os.write(write, b"x" * 999 + b"\n")
    os.write(write, b"the last line\n")
    os.close(write)
    tail = collector.tail(10.0)
    assert tail.endswith("the last line\n")
    assert len(tail) <= output.TAIL_BYTES
    assert collector.total_bytes == 2_000_000 + len("the last line\n")
    assert (tmp_path / "log").stat().st_size == 100_000


def test_bytes_that_are_no_text_do_not_matter(tmp_path):
    read, write = os.pipe()
    collector = OutputCollector(read, None)
    os.write(write, b"\xff\xfe broken")
    os.close(write)
    assert collector.tail(5.0).endswith("broken")
