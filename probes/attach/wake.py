"""Wakes the agent when torch's data package is imported, in the process that trains and in no other."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from types import ModuleType

from gputune.probes.attach import CHANNEL, CONFIG, DISABLE, MODE, SCOPE

TRIGGER = "torch.utils.data.dataloader"


def arm() -> None:
    """Install the import hook, unless this interpreter is a helper process or gputune is switched off."""
    mode = os.environ.get(MODE, "")
    if mode not in ("probe", "apply") or os.environ.get(DISABLE) == "1" or _is_helper_process():
        return
    sys.meta_path.insert(0, AfterImport(TRIGGER, lambda module: _start(mode, module)))


def _is_helper_process() -> bool:
    """Whether this interpreter serves multiprocessing (spawned worker, fork server, resource tracker)."""
    arguments = sys.orig_argv
    if "-c" in arguments:
        code = arguments[arguments.index("-c") + 1]
        return code.startswith("from multiprocessing")
    return False


def _start(mode: str, dataloader: ModuleType) -> None:
    from gputune.probes.agent.start import start_apply, start_probe

    values = {name: os.environ.get(name, "") for name in (CHANNEL, CONFIG)}
    if os.environ.get(SCOPE) == "self":
        for name in (MODE, SCOPE, CHANNEL, CONFIG):
            os.environ.pop(name, None)
    if mode == "apply":
        start_apply(dataloader, values[CONFIG])
    else:
        start_probe(dataloader, values[CHANNEL], values[CONFIG])


class AfterImport(importlib.abc.MetaPathFinder):
    """Calls back once, right after the body of one module has run and before its importer goes on."""

    def __init__(self, name: str, callback: Callable[[ModuleType], None]) -> None:
        self.name, self.callback = name, callback

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Let the other finders find the module and wrap its loader."""
        if fullname != self.name:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _Wrapped(spec.loader, self.callback)
        return spec


class _Wrapped(importlib.abc.Loader):
    """A loader that runs the real one and then the callback."""

    def __init__(self, loader: importlib.abc.Loader, callback: Callable[[ModuleType], None]) -> None:
        self._loader, self._callback = loader, callback

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        spec = module.__spec__
        if spec is not None:
            spec.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        try:
            self._callback(module)
        except Exception as error:  # noqa: BLE001  the user's import must succeed, whatever is wrong with ours
            print(f"gputune: cannot attach: {type(error).__name__}: {error}", file=sys.stderr)
