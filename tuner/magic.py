"""``%gputune`` in notebooks: ``%load_ext gputune``, then the command line's verbs as they are.

``%gputune profile train.py`` runs the verb in a process of its own, shows what it says as it says it, and displays the
stored run as a page; ``%gputune report [RUN]`` displays a stored one. Other verbs show their text. A loop that lives in
the notebook itself is profiled by ``gputune.profile(loop, loader)``.
"""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from gputune import record, store
from gputune.errors import GputuneError


def load_ipython_extension(shell: Any) -> None:
    """Register the magic in an IPython shell (``%load_ext gputune`` calls this)."""
    shell.register_magic_function(gputune, magic_kind="line", magic_name="gputune")


def gputune(line: str) -> record.Run | None:
    """Run one command line of gputune; the run it made or names is displayed.

    Args:
        line: what follows ``%gputune``; quoting is as in a shell.
    """
    words = shlex.split(line)
    plain_report = words[:1] == ["report"] and not any(word.startswith("-") for word in words)
    if plain_report:
        return _stored(words[1] if len(words) > 1 else store.LAST)
    before = _newest()
    status = _run(words)
    if words[:1] == ["profile"] and status in (0, 3, 4, 130) and _newest() != before:
        return _stored(store.LAST)
    if status:
        print(f"gputune ended with {status}", file=sys.stderr)
    return None


def _run(words: list[str]) -> int:
    """Run the verb and pass on what it says, line by line; an interrupt of the cell is passed to it."""
    command = [sys.executable, "-m", "gputune", *words]
    # A session of its own: the interrupt of the cell reaches it once, from here, however the kernel is interrupted.
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        try:
            for text in process.stdout:
                print(text, end="", flush=True)
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)  # what it saves and says then is still wanted
            for text in process.stdout:
                print(text, end="", flush=True)
    return process.returncode


def _newest() -> Path | None:
    try:
        return store.resolve(store.LAST, store.RESULTS)
    except GputuneError:
        return None


def _stored(reference: str) -> record.Run | None:
    try:
        return record.load(store.resolve(reference, store.RESULTS))
    except GputuneError as error:
        print(f"gputune: {error}", file=sys.stderr)
        return None
