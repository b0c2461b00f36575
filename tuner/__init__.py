"""gputune: why is my GPU idle, how much would I gain, and which settings fix it?"""

from typing import TYPE_CHECKING, Any

from gputune._version import __version__
from gputune.probes.knob import knob

if TYPE_CHECKING:
    from gputune.notebook import profile

__all__ = ["__version__", "knob", "profile"]


def __getattr__(name: str) -> Any:
    """Import what notebooks call when it is asked for: ``gputune --help`` must not wait for it."""
    if name == "profile":
        from gputune.notebook import profile

        return profile
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
