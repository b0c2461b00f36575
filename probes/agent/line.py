"""The agent's end of the line to the tuner. When the tuner is gone, so is the process: nothing may survive a probe."""

from __future__ import annotations

import os
from typing import NoReturn

import msgspec

from gputune.probes.channel import Channel, ChannelClosed
from gputune.probes.protocol import Order


class Line:
    """Says events and waits for orders; ends the process when nobody is there any more."""

    def __init__(self, channel: Channel[Order]) -> None:
        self._channel = channel

    def say(self, event: msgspec.Struct) -> None:
        """Send an event."""
        try:
            self._channel.send(event)
        except ChannelClosed:
            end_process(1)

    def farewell(self, event: msgspec.Struct) -> None:
        """Send an event while the script is ending anyway."""
        try:
            self._channel.send(event)
        except ChannelClosed:
            return

    def next_order(self) -> Order:
        """Wait for the next order."""
        try:
            return self._channel.receive(timeout_s=None)
        except ChannelClosed:
            end_process(1)


def end_process(status: int) -> NoReturn:
    """End at once, without running the user's exit code; workers notice and end as well."""
    os._exit(status)
