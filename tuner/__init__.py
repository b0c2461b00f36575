"""gputune: why is my GPU idle, how much would I gain, and which settings fix it?"""

from gputune._version import __version__

__all__ = ["__version__"]
