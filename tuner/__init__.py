"""gputune: why is my GPU idle, how much would I gain, and which settings fix it?

The parts a setting switches on are also an API: ``gputune.install_async_save()``, ``gputune.AsyncCheckpointer`` and
the other names of :mod:`gputune.probes.runtime`, each imported on first use.
"""

from typing import TYPE_CHECKING, Any

from gputune._version import __version__
from gputune.probes.knob import knob

if TYPE_CHECKING:
    from gputune.notebook import profile

__all__ = ["__version__", "knob", "profile"]


def __getattr__(name: str) -> Any:
    """Import what notebooks and scripts call when it is asked for: ``gputune --help`` must not wait for it."""
    if name == "profile":
        from gputune.notebook import profile

        return profile
    if name == "load_ipython_extension":
        from gputune.magic import load_ipython_extension

        return load_ipython_extension
    # A module of ours that is being imported is asked for here first; it is none of the parts.
    if not name.startswith("_"):
        from gputune.probes import runtime

        if name in runtime.__all__:
            return getattr(runtime, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
