"""One round of a check: bursts taken side by side, so that what the machine does to one it does to the others."""

from __future__ import annotations

import msgspec

from gputune.probes.burst import Burst


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """Adjacent bursts under the user's own settings."""

    user: Burst
    """The script as it is."""
    ceiling: Burst | None = None
    """The same with free data, where a requirement needs it."""
    against: Burst | None = None
    """The same script at the older revision (``--against``)."""
