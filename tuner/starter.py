"""Starts the user's script as a target, and says in the user's words why it could not be conducted."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from gputune import talk
from gputune.errors import InconclusiveError, UsageError
from gputune.probes import attach, knob
from gputune.probes.agent.apply import ApplyConfig, LoaderConfig
from gputune.probes.protocol import Goodbye, Hello, LoaderSite
from gputune.probes.sandbox import plan
from gputune.probes.sandbox.records import Confinement
from gputune.probes.settings import Settings
from gputune.probes.target import Target, TargetGone, TargetHangs, TargetTrouble
from gputune.script import Script

HELLO_TIMEOUT_S = 600.0
"""A script may import, download and build for long before its first batch; progress is shown meanwhile."""


class Starter:
    """Starts one script as often as needed.

    Args:
        script: what to run.
        cwd: where to run it.
        log_folder: where the script's output goes (one file a process).
        mode: how the user's files are protected.
        scratch_limit_bytes: what the script may write.
        say: shows a line of progress.
    """

    def __init__(
        self,
        script: Script,
        *,
        cwd: Path,
        log_folder: Path,
        mode: plan.Mode = "auto",
        scratch_limit_bytes: int = plan.DEFAULT_SCRATCH_LIMIT_BYTES,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._script, self._cwd, self._log_folder = script, cwd, log_folder
        self._mode, self._scratch_limit_bytes, self._say = mode, scratch_limit_bytes, say
        self._starts = 0
        self.confinement: Confinement | None = None
        self.goodbye: Goodbye | None = None
        """What the agent said last of a script that could not be measured."""

    def launch(self, config: Path | None = None, settings: Settings | None = None) -> Target:
        """Start the script.

        Args:
            config: see :func:`applied`.
            settings: whose knobs the script finds set.

        Raises:
            UsageError: it cannot be started, or not under protection.
        """
        self._starts += 1
        try:
            target = Target(
                self._script.argv,
                cwd=self._cwd,
                scope=self._script.scope,
                config=config,
                variables=_knobs(settings),
                log=self._log_folder / f"script-{self._starts}.log",
                mode=self._mode,
                scratch_limit_bytes=self._scratch_limit_bytes,
                on_progress=self._say,
            )
        except plan.SandboxUnavailable as error:
            raise UsageError(f"your files cannot be protected here: {error}", error.hint) from error
        except plan.CommandNotStarted as error:
            raise UsageError(f"{self._script.argv[0]} cannot be started: {error}", "check the command") from error
        if self.confinement is None:  # said once: how files are protected and what was switched off
            for text in (str(target.confinement), *target.confinement.notes, *target.announcements):
                self._say(text)
        self.confinement = target.confinement
        return target

    def greet(self, target: Target) -> Hello:
        """Wait until a target has found its training loader.

        Raises:
            TargetError: the script failed.
            InconclusiveError: it has no loader, ended, or hangs before its first batch.
        """
        try:
            return target.hello(HELLO_TIMEOUT_S)
        except TargetGone as gone:
            self.goodbye = gone.goodbye
            obstacle = attach.obstacle(self._script.argv)
            raise talk.ended_before_measuring(gone.status, gone.goodbye, gone.tail, gone.reason, obstacle) from None
        except TargetHangs as error:
            raise InconclusiveError(talk.never_trained(error), talk.HINT_NEVER_TRAINED) from None
        except TargetTrouble as trouble:
            raise InconclusiveError(talk.cannot_attach(trouble)) from None


def _knobs(settings: Settings | None) -> dict[str, str]:
    values = settings.knob_values if settings is not None else {}
    # Values that the user's shell sets for other runs are no part of the script as it is.
    return {knob.VARIABLE: knob.environment(values.items())} if values or knob.VARIABLE in os.environ else {}


@contextlib.contextmanager
def applied(site: LoaderSite | None, settings: Settings | None) -> Iterator[Path | None]:
    """Give a file, while the block runs, that makes a starting script construct the loaders of a site with
    ``settings``; ``None`` where there is nothing to apply."""
    if site is None or settings is None:
        yield None
        return
    entry = LoaderConfig(file=site.file, line=site.line, function=site.function, settings=settings)
    with tempfile.NamedTemporaryFile(prefix="gputune-", suffix=".json") as file:
        file.write(msgspec.json.encode(ApplyConfig(loaders=[entry])))
        file.flush()
        yield Path(file.name)
