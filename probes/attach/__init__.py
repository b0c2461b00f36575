"""How the agent gets into a Python process: through the environment, before the user's first line.

``PYTHONPATH`` names a folder with a ``sitecustomize`` of ours; it runs the user's own one, removes every trace of
itself and waits until torch's data package is imported. The command line, ``sys.argv``, ``sys.path``, ``__main__``
and tracebacks stay exactly as under plain Python.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

SITE_FOLDER = Path(__file__).parent / "site"
MODE = "GPUTUNE_MODE"
"""``probe`` (conducted by a tuner) or ``apply`` (settings from a file, no tuner)."""
CHANNEL = "GPUTUNE_CHANNEL"
"""``<pid>:<read fd>:<write fd>`` of the control pipes; the pid lets children of launchers find them in /proc."""
CONFIG = "GPUTUNE_CONFIG"
"""The JSON file with settings to apply (mode ``apply``), or the settings of a fresh-process trial."""
SCOPE = "GPUTUNE_SCOPE"
"""``self``: only this interpreter; ``tree``: every interpreter it starts, too (launchers)."""
DISABLE = "GPUTUNE_DISABLE"
"""Set to 1, ``gputune run`` and any inherited attachment do nothing."""


def environment(
    base: Mapping[str, str], *, mode: str, scope: str, channel: str = "", config: str = ""
) -> dict[str, str]:
    """Return ``base`` with what makes the agent wake up in the interpreter started with it."""
    env = dict(base)
    before = env.get("PYTHONPATH", "")
    env["PYTHONPATH"] = os.pathsep.join([str(SITE_FOLDER), *([before] if before else [])])
    env.update({MODE: mode, SCOPE: scope})
    if channel:
        env[CHANNEL] = channel
    if config:
        env[CONFIG] = config
    return env
