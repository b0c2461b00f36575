"""What a burst is read from."""

from __future__ import annotations

from typing import NamedTuple

from gputune.probes.agent.clock import Ring
from gputune.probes.agent.interludes import Interludes
from gputune.probes.agent.offload import Offload
from gputune.probes.agent.replay import ReplayCache
from gputune.probes.agent.steps import StepCounter


class Instruments(NamedTuple):
    """The parts of the agent that see what happens, in one hand."""

    steps: StepCounter
    ring: Ring
    interludes: Interludes
    cache: ReplayCache
    offload: Offload
    """Switches what is done off the training thread; a part of an order's settings."""
