"""How the agent gets into a Python process: through the environment, before the user's first line.

``PYTHONPATH`` names a folder with a ``sitecustomize`` of ours; it removes every trace of itself, runs the user's own
one and waits until torch's data package is imported. The command line, ``sys.argv``, ``sys.path``, ``__main__`` and
tracebacks stay exactly as under plain Python.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

SITE_FOLDER = Path(__file__).parent / "site"
MODE = "GPUTUNE_MODE"
"""``probe`` (conducted by a tuner) or ``apply`` (settings from a file, no tuner)."""
CHANNEL = "GPUTUNE_CHANNEL"
"""Where the pipes to the tuner are; see :mod:`gputune.probes.attach.descriptors`."""
CONFIG = "GPUTUNE_CONFIG"
"""The JSON file with settings to apply (mode ``apply``), or the settings of a fresh-process trial."""
SCOPE = "GPUTUNE_SCOPE"
"""``self``: only this interpreter; ``tree``: every interpreter it starts, too (launchers); ``child``: one that
``multiprocessing`` spawned to train (see :mod:`gputune.probes.attach.children`)."""
DISABLE = "GPUTUNE_DISABLE"
"""Set to 1, ``gputune run`` and any inherited attachment do nothing."""


def environment(
    base: Mapping[str, str], *, mode: str, scope: str, channel: str = "", config: str = ""
) -> dict[str, str]:
    """Return ``base`` with what makes the agent wake up in the interpreter started with it."""
    env = dict(base)
    before = [entry for entry in env.get("PYTHONPATH", "").split(os.pathsep) if entry != str(SITE_FOLDER)]
    env["PYTHONPATH"] = os.pathsep.join([str(SITE_FOLDER), *([] if before == [""] else before)])
    env.update({MODE: mode, SCOPE: scope})
    if channel:
        env[CHANNEL] = channel
    if config:
        env[CONFIG] = config
    return env


def obstacle(command: Sequence[str]) -> str:
    """Return why a command line keeps the agent out, or an empty string.

    Python started with -I or -E ignores the environment, and with -S it runs no ``sitecustomize``.
    """
    for position, word in enumerate(command):
        if not os.path.basename(word).startswith("python"):
            continue
        for option in command[position + 1 :]:
            if not option.startswith("-") or option in ("-", "-c", "-m"):
                break
            found = _keeps_out(option)
            if found:
                return found
    return ""


def _keeps_out(option: str) -> str:
    if option.startswith(("--", "-X", "-W")):
        return ""
    letters = {"I": "ignores the environment", "E": "ignores the environment", "S": "runs no sitecustomize"}
    for letter in option[1:]:
        if letter in letters:
            return f"python -{letter} {letters[letter]}, through which gputune attaches"
    return ""
