"""Which rank of a job this process is."""

from __future__ import annotations

import os
import sys
from typing import Any, NamedTuple


class Identity(NamedTuple):
    """A process's place in its job."""

    rank: int = 0
    world: int = 1
    local_rank: int = 0
    """Its number on this machine: 0 for the one that is conducted."""
    local_world: int = 1


def identity() -> Identity:
    """Return what the process group says, and before there is one what the launcher wrote into the environment."""
    distributed: Any = sys.modules.get("torch.distributed")
    available = getattr(distributed, "is_available", None)
    if available is not None and available() and distributed.is_initialized():
        rank, world = int(distributed.get_rank()), int(distributed.get_world_size())
    else:
        rank, world = _number("RANK", 0), _number("WORLD_SIZE", 1)
    return Identity(rank, world, _number("LOCAL_RANK", rank), _number("LOCAL_WORLD_SIZE", world))


def _number(name: str, otherwise: int) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isdigit() else otherwise
