"""Samples the stack of one thread from another, and charges the time to lines of the user's code.

A sample is charged to the innermost frame of the user's own code (``file:line function``) and names the library
callable it was in (``via``): of a ``Compose`` the transform, otherwise what the line called. Where the stack holds no
user frame (a dataset class of torchvision), the outermost frame of the stretch is named instead.

The interpreter hands the lock over between bytecodes, so time in C code that keeps it is charged to the line that
runs next; code that releases it (Pillow, numpy, torch, input and output) is charged rightly.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import defaultdict
from types import CodeType, FrameType

from gputune.probes.agent.sites import is_library
from gputune.probes.burst import Hotspot, Where

PERIOD_S = 0.01
SWITCH_S = 1e-4
"""Switch interval of the interpreter meanwhile. With the usual 5 ms the sampler would get its turn where the watched
code happens to release the lock, and charge everything to those lines."""
LONGEST_S = 0.1
"""A sampler that did not get the interpreter for longer than this charges no more than this to one sample."""
KEPT = 20
"""Hotspots kept of each kind of stretch."""

Key = tuple[Where, str, int, str, str, str]

_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_CALL_NAMES = frozenset({"_wrapped_call_impl", "_call_impl"})
_LOGGING = ("/logging/__init__.py", "/logging/handlers.py", "/torch/utils/tensorboard/", "/tensorboardX/", "/wandb/")
_STEP = ("/torch/nn/", "/torch/autograd/", "/torch/optim/", "/torch/_tensor.py", "/torch/amp/", "/torch/_dynamo/")
_CHECKPOINT = ("/torch/serialization.py", "/torch/distributed/checkpoint/")


class StackSampler:
    """A thread that samples another one until it is stopped.

    Args:
        thread_id: the thread to watch.
        on_publish: called from the sampler's thread every ``publish_s`` with the seconds so far.
    """

    def __init__(self, thread_id: int, on_publish: object = None, publish_s: float = 0.25) -> None:
        self.seconds: dict[Key, float] = defaultdict(float)
        self._thread_id, self._on_publish, self._publish_s = thread_id, on_publish, publish_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gputune-stacks", daemon=True)

    def start(self) -> None:
        """Begin sampling."""
        self._thread.start()

    def stop(self) -> None:
        """End sampling; safe to call twice."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(1.0)

    def hotspots(self) -> list[Hotspot]:
        """Return the most expensive places of each kind of stretch."""
        return shared_out(dict(self.seconds))

    def _run(self) -> None:
        usual_s = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_S)
        try:
            self._sample()
        finally:
            sys.setswitchinterval(usual_s)

    def _sample(self) -> None:
        last_s = published_s = time.monotonic()
        while not self._stop.wait(PERIOD_S):
            frame = sys._current_frames().get(self._thread_id)
            now_s = time.monotonic()
            if frame is not None:
                key = place(frame)
                if key is not None:
                    self.seconds[key] += min(now_s - last_s, LONGEST_S)
            del frame  # a kept frame would keep the user's batches alive
            last_s = now_s
            if callable(self._on_publish) and now_s - published_s > self._publish_s:
                self._on_publish(dict(self.seconds))
                published_s = now_s


def shared_out(seconds: dict[Key, float]) -> list[Hotspot]:
    """Return hotspots whose shares are parts of all time sampled in the same kind of stretch."""
    loading = sum(value for key, value in seconds.items() if key[0] in LOADING)
    training = sum(value for key, value in seconds.items() if key[0] not in LOADING)
    kept: list[Hotspot] = []
    for group, total in ((True, loading), (False, training)):
        ordered = sorted((item for item in seconds.items() if (item[0][0] in LOADING) is group), key=lambda i: -i[1])
        for (where, file, line, function, via, caller), value in ordered[:KEPT]:
            kept.append(
                Hotspot(
                    where=where, file=file, line=line, function=function, via=via, caller=caller,
                    seconds_share=value / total,
                    seconds=value,
                )
            )  # fmt: skip
    return kept


LOADING = frozenset({Where.FETCH, Where.COLLATE})


def place(frame: FrameType) -> Key | None:
    """Return what a stack is charged to, or ``None`` when the thread waits for data or does our own work."""
    stack: list[FrameType] = []
    where: Where | None = None
    current: FrameType | None = frame
    while current is not None and len(stack) < 200:
        code = current.f_code
        if code.co_filename.startswith(_OURS):
            kind = _ours(code)
            if kind is None:
                return None
            where = kind
            if kind in LOADING:
                break
        else:
            stack.append(current)
        current = current.f_back
    if not stack:
        return None
    where = where or _kind_of_main(stack)
    anchor = next((index for index, inner in enumerate(stack) if is_users(inner.f_code)), None)
    if anchor is None:
        # Nothing of the user's in this stretch: the frame nearest to its beginning that is no loader's machinery.
        outer = [i for i, inner in enumerate(stack) if "/torch/utils/data/" not in inner.f_code.co_filename]
        anchor = outer[-1] if outer else len(stack) - 1
    chosen = stack[anchor]
    code = chosen.f_code
    line = chosen.f_lineno or code.co_firstlineno
    return where, code.co_filename, line, code.co_qualname, _via(stack[:anchor]), _caller(stack[anchor + 1 :])


def _ours(code: CodeType) -> Where | None:
    """Return which stretch one of our own frames delimits; everything else of ours is not the user's time."""
    if code.co_name == "collate":
        return Where.COLLATE
    return Where.FETCH if code.co_name == "fetch" else _TRANSPARENT.get(code.co_name)


_TRANSPARENT = {"save": Where.CHECKPOINT, "handle": Where.LOGGING, "logged_call": Where.LOGGING}
"""Our wrappers around calls of the user's that are timed one by one."""


def _kind_of_main(stack: list[FrameType]) -> Where:
    files = [inner.f_code.co_filename for inner in stack]
    if any("/torchvision/transforms/" in file for file in files):
        return Where.MAIN  # transforms are modules, too, but no part of the model
    for kind, parts in ((Where.CHECKPOINT, _CHECKPOINT), (Where.LOGGING, _LOGGING), (Where.STEP, _STEP)):
        if any(part in file for file in files for part in parts):
            return kind
    return Where.MAIN


def _caller(outer: list[FrameType]) -> str:
    """Return the user's function that called the one charged, with its place; ``outer`` runs outwards."""
    caller = next((frame for frame in outer if is_users(frame.f_code)), None)
    if caller is None or caller.f_code.co_name == "<module>":
        return ""
    code = caller.f_code
    return f"{code.co_qualname} at {os.path.basename(code.co_filename)}:{caller.f_lineno or code.co_firstlineno}"


_USERS: dict[CodeType, bool] = {}


def is_users(code: CodeType) -> bool:
    """Whether code is the user's own: no library's, and none of ours."""
    known = _USERS.get(code)
    if known is None:
        file = code.co_filename
        known = _USERS[code] = not (is_library(file) or file.startswith(("<", _OURS)))
    return known


def _via(inner: list[FrameType]) -> str:
    """Return the callable of a library that the user's line was in; ``inner`` runs from the leaf outwards."""
    outwards_in = [f for f in reversed(inner) if f.f_code.co_name not in _CALL_NAMES]
    for index, frame in enumerate(outwards_in[:-1]):
        if "Compose." in frame.f_code.co_qualname:
            child = outwards_in[index + 1]
            if "Compose." not in child.f_code.co_qualname:
                return type(child.f_locals["self"]).__name__ if "self" in child.f_locals else child.f_code.co_qualname
    return outwards_in[0].f_code.co_qualname if outwards_in else ""
