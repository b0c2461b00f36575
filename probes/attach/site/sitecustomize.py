"""Runs at interpreter start under gputune: arms the agent, then hands over to the user's own sitecustomize.

Only the standard library is touched here, and no module that site has not loaded already: this runs in every
interpreter the user's command starts. gputune itself is imported in the one that imports the data package of torch or
of TensorFlow.
Nothing of ours may stop the user's program: what goes wrong is said in one line.
"""

import os
import sys

TYPE_CHECKING = False  # importing typing would cost more than all the rest here
if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.machinery import ModuleSpec, PathFinder
    from types import ModuleType
    from typing import Any

TRIGGERS = {"torch.utils.data.dataloader": "start", "tensorflow.python.data.ops.dataset_ops": "start_tensorflow"}
"""Module to wait for -> what to call in ``gputune.probes.attach.wake``."""
_waiting: "dict[str, Callable[[ModuleType], None]]" = {}
"""Module name -> what to call with it, right after its body has run and before its importer goes on."""
_original: "Any" = None


def after_import(name: str, callback: "Callable[[ModuleType], None]") -> None:
    """Call back once with the module ``name`` when it has been imported.

    The path finder is wrapped, not ``sys.meta_path`` extended: the user's list stays as it is, and import hooks that
    come first and ask the path finder themselves (type checkers at run time) do not bypass us.
    """
    global _original
    # Importing importlib.machinery for it would cost as much as all the rest here.
    path_finder: Any = next(finder for finder in sys.meta_path if getattr(finder, "__name__", "") == "PathFinder")
    _waiting[name] = callback
    if _original is not None:
        return
    _original = path_finder.__dict__["find_spec"]

    def find_spec(
        cls: "type[PathFinder]", fullname: str, path: "Any" = None, target: "ModuleType | None" = None
    ) -> "Any":
        found: Any = _find(cls, fullname, path, target)
        if found is not None and found.loader is not None and fullname in _waiting:
            found.loader = _Wrapped(found.loader, _waiting.pop(fullname))
            if not _waiting:
                _unhook(cls)
        return found

    _find = _original.__func__
    find_spec.__doc__ = _find.__doc__
    path_finder.find_spec = classmethod(find_spec)


def _unhook(finder: "Any") -> None:
    global _original
    finder.find_spec, _original = _original, None


class _Wrapped:
    """A loader that runs the real one and then the callback."""

    def __init__(self, loader: "Any", callback: "Callable[[ModuleType], None]") -> None:
        self._loader, self._callback = loader, callback

    def create_module(self, spec: "ModuleSpec") -> "ModuleType | None":
        """As the real loader."""
        created: ModuleType | None = self._loader.create_module(spec)
        return created

    def exec_module(self, module: "ModuleType") -> None:
        """Leave the module as if we had not been there, run it, then call back."""
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        try:
            self._callback(module)
        except Exception as error:  # noqa: BLE001  the user's import must succeed, whatever is wrong with ours
            print(f"gputune: cannot attach: {type(error).__name__}: {error}", file=sys.stderr)


def _is_helper_process(scope: str) -> bool:
    """Whether this interpreter serves multiprocessing (loader worker, fork server, resource tracker).

    One that was spawned to train is told so by its scope.
    """
    arguments = sys.orig_argv
    code = arguments[arguments.index("-c") + 1] if "-c" in arguments[:-1] else ""
    trains = scope == "child" and code.startswith("from multiprocessing.spawn")
    return code.startswith("from multiprocessing") and not trains


def _arm() -> None:
    """Wait for torch, unless this is a helper process or gputune is switched off; tidy up what let us in."""
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [entry for entry in sys.path if not entry or os.path.abspath(entry) != here]
    sys.path_importer_cache.pop(here, None)
    names = ("GPUTUNE_MODE", "GPUTUNE_SCOPE", "GPUTUNE_CHANNEL", "GPUTUNE_CONFIG")
    mode, scope, channel, config = (os.environ.get(name, "") for name in names)
    off = os.environ.get("GPUTUNE_DISABLE") == "1"
    if scope != "tree":
        _restore_environment(here, names)
    if mode in ("probe", "apply") and not off and not _is_helper_process(scope):
        for trigger in TRIGGERS:
            after_import(trigger, lambda module: _wake(module, mode, scope, channel, config))


def _restore_environment(here: str, names: "tuple[str, ...]") -> None:
    """Leave the environment as the user's shell had it: what this process starts is none of our business."""
    for name in names:
        os.environ.pop(name, None)
    first, separator, rest = os.environ.get("PYTHONPATH", "").partition(os.pathsep)
    if first and os.path.abspath(first) == here:
        if separator:
            os.environ["PYTHONPATH"] = rest
        else:
            del os.environ["PYTHONPATH"]


def _wake(module: "ModuleType", mode: str, scope: str, channel: str, config: str) -> None:
    try:
        import msgspec  # noqa: F401

        _make_importable()
        from gputune.probes.attach import wake
    except ImportError as error:
        reason = (
            f"{sys.executable} lacks {error.name or error}, which gputune needs inside the training process; "
            f"install it there: {sys.executable} -m pip install gputune"
        )
        print(f"gputune: cannot attach: {reason}", file=sys.stderr)
        if scope != "tree":
            _tell_tuner(channel, reason)
        return
    start = getattr(wake, TRIGGERS[module.__name__])
    start(module, mode=mode, scope=scope, channel=channel, config=config, after_import=after_import)


def _tell_tuner(channel: str, reason: str) -> None:
    """Send ``gputune.probes.protocol.Trouble``, spelled by hand: there is no msgspec here."""
    try:
        fd, inode = map(int, channel.split(":")[3:5])
        if os.fstat(fd).st_ino != inode:
            return
        text = reason.encode()[:60_000]
        body = b"\x82\xa4type\xa7trouble\xa6reason\xda" + len(text).to_bytes(2, "big") + text
        os.write(fd, len(body).to_bytes(4, "little") + body)
    except (ValueError, OSError):
        return  # not our pipe: what was printed has to do


def _make_importable() -> None:
    """In an interpreter without gputune, bind the probes from where this file lies; they need msgspec alone."""
    try:
        import gputune  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name != "gputune":
            raise
        import types

        probes = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        paths: dict[str, list[str]] = {"gputune": [], "gputune.probes": [probes]}
        for name, path in paths.items():
            package = types.ModuleType(name)
            package.__path__ = path  # a package is a module with a path
            sys.modules[name] = package


try:
    _arm()
except Exception as error:  # noqa: BLE001  the user's program must start, whatever is wrong with ours
    print(f"gputune: cannot attach to {sys.executable}: {type(error).__name__}: {error}", file=sys.stderr)
# The user's own, if there is one. If not, site takes the error as "there is none", as it would have without us.
sys.modules.pop("sitecustomize", None)
import sitecustomize  # type: ignore[import-not-found]  # noqa: E402, F401
