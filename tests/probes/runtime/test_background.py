"""The thread behind asynchronous logging: what is put is done before a flush returns."""

from __future__ import annotations

import time

from gputune.probes.runtime.background import BackgroundThread


def test_a_flush_waits_for_the_very_first_call_as_well() -> None:
    for _ in range(20):
        background, done = BackgroundThread("test"), list[int]()

        def work(done: list[int] = done) -> None:
            time.sleep(0.005)
            done.append(1)

        background.put(work)
        background.flush()
        assert done == [1]
        background.close()
