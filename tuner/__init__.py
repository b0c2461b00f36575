"""gputune: why is my GPU idle, how much would I gain, and which settings fix it?"""

from gputune._version import __version__
from gputune.probes.knob import knob

__all__ = ["__version__", "knob"]
