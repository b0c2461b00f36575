"""Slow handlers of ``logging`` work behind the caller; fast ones are called as ever."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gputune.probes.runtime.background import BackgroundError
from gputune.probes.runtime.slow_handlers import SlowHandlers


class Collecting(logging.Handler):
    """Keeps what it is given; takes ``takes_s`` for each record."""

    def __init__(self, takes_s: float = 0.0) -> None:
        super().__init__()
        self.takes_s, self.seen = takes_s, list[str]()

    def emit(self, record: logging.LogRecord) -> None:
        time.sleep(self.takes_s)
        self.seen.append(self.format(record))


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowHandlers]:
    handlers = SlowHandlers(logging.Handler.handle)
    monkeypatch.setattr(logging.Handler, "handle", lambda handler, record: handlers.handle(handler, record))
    yield handlers
    handlers.flush()


def logger_with(handler: logging.Handler) -> logging.Logger:
    logger = logging.Logger("test")
    logger.addHandler(handler)
    return logger


def test_a_slow_handler_is_found_out_and_no_longer_waited_for(slow: SlowHandlers) -> None:
    handler = Collecting(0.02)
    logger = logger_with(handler)
    for number in range(2):
        logger.info("%d", number)
    start_s = time.perf_counter()
    for number in range(2, 22):
        logger.info("%d", number)
    assert time.perf_counter() - start_s < 0.2, "half of what twenty records take"
    handler.flush()
    assert handler.seen == [str(number) for number in range(22)]


def test_a_fast_handler_keeps_its_thread(slow: SlowHandlers) -> None:
    handler = Collecting()
    logger = logger_with(handler)
    for number in range(20):
        logger.info("%d", number)
        assert handler.seen[-1] == str(number)


def test_a_record_says_what_it_said_at_the_call(slow: SlowHandlers) -> None:
    handler, state = Collecting(0.005), {"step": 0}
    logger = logger_with(handler)
    for number in range(6):
        state["step"] = number
        logger.info("%s", state)
    handler.close()
    assert handler.seen == [str({"step": number}) for number in range(6)]


def test_filters_run_at_the_call(slow: SlowHandlers) -> None:
    handler, open_to = Collecting(0.005), {"all"}
    handler.addFilter(lambda record: record.getMessage() in open_to or "all" in open_to)
    logger = logger_with(handler)
    for _ in range(3):
        logger.info("early")
    open_to.clear()
    logger.info("late")
    open_to.add("all")
    handler.flush()
    assert handler.seen == ["early"] * 3


def test_a_handler_that_raises_is_heard_of_at_its_flush(slow: SlowHandlers) -> None:
    handler = Collecting(0.005)
    logger = logger_with(handler)
    for _ in range(3):
        logger.info("fine")
    handler.flush()
    handler.seen = None  # type: ignore[assignment]
    logger.info("lost")
    with pytest.raises(BackgroundError, match="Collecting"):
        handler.flush()


def test_a_script_that_ends_writes_everything(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    script = f"""
import logging, time
from gputune.probes.runtime.slow_handlers import SlowHandlers
slow = SlowHandlers(logging.Handler.handle)
logging.Handler.handle = lambda handler, record: slow.handle(handler, record)
class Slow(logging.FileHandler):
    def emit(self, record):
        time.sleep(0.005)
        super().emit(record)
logger = logging.getLogger("x")
logger.addHandler(Slow({str(path)!r}))
for number in range(50):
    logger.warning("%d", number)
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
    assert path.read_text().split() == [str(number) for number in range(50)]
