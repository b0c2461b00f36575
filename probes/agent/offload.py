"""What a process-wide setting switches on in this process: checkpoints and log calls off the training thread."""

from __future__ import annotations

import contextlib

from gputune.probes.agent.checkpoints import Report as SaveReport
from gputune.probes.agent.checkpoints import Saving
from gputune.probes.agent.loggers import Logging
from gputune.probes.agent.loggers import Report as LogReport
from gputune.probes.settings import Settings


class Offload:
    """The stand-ins for ``torch.save`` and for loggers, switched together.

    Args:
        saved: told of each save on the main thread; ``None`` where nobody measures.
        logged: told of each call of a logger there.
    """

    def __init__(self, saved: SaveReport | None = None, logged: LogReport | None = None) -> None:
        self.saving, self.logging = Saving(saved), Logging(logged)

    def use(self, settings: Settings) -> None:
        """Save and log as ``settings`` say from now on; what is under way is finished first.

        Raises:
            RuntimeError: something that was done behind the training thread failed, or this torch cannot do it.
        """
        self.saving.use(settings.async_checkpoint)
        self.logging.use(settings.async_logging)

    def stop(self) -> None:
        """Save and log on the training thread again; a failure on the way has been said on stderr."""
        with contextlib.suppress(RuntimeError):
            self.saving.use("off")
        with contextlib.suppress(RuntimeError):
            self.logging.use(False)

    def failure(self) -> Exception | None:
        """Return, once, what went wrong behind the training thread."""
        return self.saving.failure()
