"""Lets processes that ``multiprocessing`` spawns to train find us, and ranks that a library starts by itself.

Both are started from inside a process that already has the agent and whose environment was tidied up, so what lets
us in is put there for the moment of the start only. A forked child has the agent anyway. Loader workers are left out.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.process
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from gputune.probes import attach


def install(*, mode: str, scope: str, channel: str, config: str) -> None:
    """Hook the two ways in which a training script starts training processes of its own.

    Args:
        mode: ``probe`` or ``apply``.
        scope: of this process; under ``tree`` what it starts finds us by itself, but for spawned processes.
        channel: see :data:`gputune.probes.attach.CHANNEL`.
        config: see :data:`gputune.probes.attach.CONFIG`.
    """

    def with_us(base: Mapping[str, str], scope: str) -> dict[str, str]:
        return attach.environment(base, mode=mode, scope=scope, channel=channel, config=config)

    _hook_spawning(lambda: _during(with_us(os.environ, "child")))
    if scope != "tree":
        _hook_ranks(lambda env: with_us(env, "self"))


def _hook_spawning(entered: Callable[[], Any]) -> None:
    process = multiprocessing.process.BaseProcess
    original = process.start

    def start(self: Any) -> None:
        if _method(self) != "spawn" or getattr(self._target, "__name__", "") == "_worker_loop":
            return original(self)
        with entered():
            return original(self)

    start.__doc__ = original.__doc__
    process.start = start  # type: ignore[method-assign]


def _method(process: Any) -> str:
    chosen = process._start_method or multiprocessing.get_start_method(allow_none=True)
    return str(chosen or multiprocessing.get_all_start_methods()[0])


def _hook_ranks(environment: Callable[[Mapping[str, str]], dict[str, str]]) -> None:
    """Libraries that start the other ranks themselves say so in the environment they give them."""
    original = subprocess.Popen.__init__

    def __init__(self: Any, *arguments: Any, **named: Any) -> None:
        env = named.get("env")
        if isinstance(env, Mapping) and env.get("LOCAL_RANK") != os.environ.get("LOCAL_RANK"):
            named["env"] = environment(env)
        original(self, *arguments, **named)

    __init__.__doc__ = original.__doc__
    __init__.__wrapped__ = original  # type: ignore[attr-defined]
    subprocess.Popen.__init__ = __init__  # type: ignore[method-assign]


@contextmanager
def _during(environment: Mapping[str, str]) -> Iterator[None]:
    """Have some variables in the environment for the moment of a start."""
    names = [name for name in environment if environment[name] != os.environ.get(name)]
    before = {name: os.environ.get(name) for name in names}
    try:
        os.environ.update({name: environment[name] for name in names})
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
