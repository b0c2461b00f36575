"""Copies and host syncs against a scripted device: only the device is made up, tensors and threads are real."""

from __future__ import annotations

import itertools
import sys
import threading
import warnings

import pytest
import torch

from gputune.probes.agent import accelerator
from gputune.probes.agent.copies import CopyTimer
from gputune.probes.agent.syncs import SyncWatch
from gputune.probes.burst import StallKind

COPY_S = 0.004


class Scripted:
    """A device whose marks are numbered; each copy takes :data:`COPY_S` and is finished when told so."""

    def __init__(self, kind: str) -> None:
        self.kind, self.finished, self.warns = kind, 0, False
        self.broken = ""
        self._marks = itertools.count(1)

    def mark(self) -> int:
        if self.broken:
            raise RuntimeError(self.broken)
        return next(self._marks)

    def between_s(self, begin: int, end: int) -> float | None:
        return COPY_S * (end - begin) if end <= self.finished else None

    def warn_of_syncs(self, on: bool) -> None:
        if self.broken:
            raise RuntimeError(self.broken)
        self.warns = on

    def waits(self):
        return [(Scripted, "drain")]

    @staticmethod
    def drain() -> str:
        return "drained"


@pytest.fixture
def untouched():
    """The tensor class is afterwards what it was before."""
    before = dict(vars(torch.Tensor))
    yield
    assert dict(vars(torch.Tensor)) == before


@pytest.mark.usefixtures("untouched")
class TestCopies:
    def test_a_copy_is_reported_when_the_device_has_come_past_it_and_not_before(self):
        device = Scripted("meta")
        timer = CopyTimer(torch.Tensor, device)
        moved = torch.ones(3).to("meta")
        assert moved.device.type == "meta"
        assert timer.take() == []
        device.finished = 2
        (span,) = timer.take()
        assert (span.kind, span.duration_s) == (StallKind.COPY, COPY_S)
        assert timer.take() == []
        timer.remove()

    def test_other_conversions_are_no_copies(self):
        device = Scripted("meta")
        timer = CopyTimer(torch.Tensor, device)
        torch.ones(3).to(torch.float64)
        torch.ones(3, device="meta").to("meta")
        device.finished = 100
        assert timer.take() == []
        timer.remove()

    def test_copies_of_other_threads_are_left_alone(self):
        device = Scripted("meta")
        timer = CopyTimer(torch.Tensor, device)
        thread = threading.Thread(target=lambda: torch.ones(3).to("meta"))
        thread.start()
        thread.join()
        device.finished = 100
        assert timer.take() == []
        timer.remove()

    @pytest.mark.heavy
    def test_compiled_code_that_converts_tensors_gives_what_it_gave(self):
        timer = CopyTimer(torch.Tensor, Scripted("meta"))
        doubled = torch.compile(lambda x: x.to(torch.float64) * 2, backend="eager", fullgraph=True)
        assert doubled(torch.ones(3)).tolist() == [2.0, 2.0, 2.0]
        assert doubled(torch.ones(3)).dtype is torch.float64
        timer.remove()

    def test_a_device_that_fails_ends_the_timing_and_not_the_copy(self):
        device = Scripted("meta")
        timer = CopyTimer(torch.Tensor, device)
        device.broken = "no events today"
        assert torch.ones(3).to("meta").shape == (3,)
        assert timer.missing == "copies to the device are not timed: RuntimeError: no events today"
        assert torch.ones(3).to("meta").shape == (3,)
        assert timer.take() == []

    def test_without_a_device_no_method_is_replaced(self):
        before = torch.Tensor.to
        CopyTimer(torch.Tensor, None)
        assert torch.Tensor.to is before


def line_of_this_call() -> int:
    return sys._getframe(1).f_lineno


@pytest.mark.usefixtures("untouched")
class TestSyncs:
    def test_calls_that_wait_are_counted_at_the_users_line(self):
        watch = SyncWatch(torch.Tensor, Scripted("cpu"))
        losses = []
        for _ in range(5):
            losses.append(torch.ones(1).item())
            line = line_of_this_call() - 1
        (point,) = watch.end()
        assert losses == [1.0] * 5
        assert (point.file, point.line, point.call, point.count) == (__file__, line, "item", 5)
        assert point.seconds > 0
        assert 0 < point.share <= 1

    def test_what_a_library_waits_for_is_charged_to_the_user_once_a_call(self):
        watch = SyncWatch(torch.Tensor, Scripted("cpu"))
        str(torch.ones(2))
        line = line_of_this_call() - 1
        assert {point.line for point in watch.end()} == {line}

    def test_a_conversion_that_stays_on_the_device_is_no_sync(self):
        watch = SyncWatch(torch.Tensor, Scripted("cpu"))
        torch.ones(2).to(torch.float64)
        assert watch.end() == []

    def test_functions_that_only_wait_are_found(self):
        device = Scripted("cpu")
        watch = SyncWatch(torch.Tensor, device)
        assert Scripted.drain() == "drained"
        (point,) = watch.end()
        assert (point.call, point.count) == ("drain", 1)
        assert Scripted.drain.__qualname__ == "Scripted.drain"

    def test_the_frameworks_warnings_are_counted_and_not_shown(self):
        device, shown = Scripted("cpu"), []
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.showwarning = lambda message, *rest, **more: shown.append(str(message))
            watch = SyncWatch(torch.Tensor, device)
            assert device.warns
            for _ in range(3):
                warnings.warn("called a synchronizing CUDA operation", stacklevel=1)
            warnings.warn("of the user's", stacklevel=1)
            (point,) = watch.end()
            assert not device.warns
            warnings.warn("called a synchronizing CUDA operation", stacklevel=1)
        assert (point.count, point.seconds, point.call) == (3, 0.0, "")
        assert shown == ["of the user's", "called a synchronizing CUDA operation"]

    def test_a_device_that_cannot_warn_leaves_everything_untouched(self):
        device = Scripted("cpu")
        device.broken = "not built in"
        watch = SyncWatch(torch.Tensor, device)
        torch.ones(1).item()
        assert watch.end() == []
        assert watch.missing == "host syncs are not looked for: RuntimeError: not built in"

    def test_an_error_of_the_users_comes_through(self):
        watch = SyncWatch(torch.Tensor, Scripted("cpu"))
        with pytest.raises(RuntimeError):
            torch.ones(2).item()
        assert watch.end() == []


def test_there_is_no_accelerator_where_none_is_in_use():
    assert accelerator.present() is None or torch.cuda.is_initialized()


class Cuda:
    """What of ``torch.cuda`` the real class calls, on a scripted card."""

    def __init__(self) -> None:
        self.mode, self.done, self.capturing = 0, False, False

    def is_current_stream_capturing(self):
        return self.capturing

    def Event(self, enable_timing):
        assert enable_timing
        return Event(self)

    def get_sync_debug_mode(self):
        return self.mode

    def set_sync_debug_mode(self, mode):
        self.mode = mode


class Event:
    def __init__(self, cuda: Cuda) -> None:
        self.cuda = cuda

    def record(self):
        pass

    def query(self):
        return self.cuda.done

    def elapsed_time(self, end):
        return 2.5


def test_cuda_marks_are_events_and_their_milliseconds_become_seconds():
    cuda = Cuda()
    device = accelerator.Cuda(type("torch", (), {"cuda": cuda}))
    begin, end = device.mark(), device.mark()
    assert device.between_s(begin, end) is None
    cuda.done = True
    assert device.between_s(begin, end) == 0.0025
    cuda.capturing = True
    assert device.mark() is None
    cuda.mode = 1
    device.warn_of_syncs(True)
    assert cuda.mode == "warn"
    device.warn_of_syncs(False)
    assert cuda.mode == 1
