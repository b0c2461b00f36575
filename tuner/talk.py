"""What the tuner says while it works: progress, and why a campaign cannot go on. Reports have ``words``."""

from __future__ import annotations

from gputune.errors import GputuneError, InconclusiveError, TargetError
from gputune.probes.protocol import Goodbye

HANGS = "the script gave no sign of life under these settings and was started again"
STARTING_AGAIN = "the script ended by itself; starting it again to go on measuring"
INTERRUPTED = "interrupted: ending the script and saving what is known"
LOOP_ENDED = "the loop ended before enough was measured"
HINT_NEVER_TRAINED = (
    "check that the script reaches its training loop; its output is in script-1.log in the run's folder"
)
HINT_ENDS_TOO_OFTEN = "give it more epochs or a larger dataset for the probe"
HINT_NO_LOADER = (
    "gputune measures loops over torch.utils.data.DataLoader, and over tf.data outside of a tf.function; wrap the data "
    "in one of them to find out what it costs"
)
CONCURRENT_HINT = "wait for it to end; two campaigns on one machine measure each other"


NEVER_AWAKE = "the script ended without constructing a DataLoader: nothing it started imported torch.utils.data"
HINT_OBSTACLE = "leave that option out, or start the training script itself: gputune profile train.py"


def ended_before_measuring(
    status: int | None, goodbye: Goodbye | None, tail: str, reason: str = "", obstacle: str = ""
) -> GputuneError:
    """Return the error for a script that ended although we wanted to go on measuring.

    Args:
        status: its exit status.
        goodbye: what the agent said last; ``None`` where none ever woke.
        tail: the end of its output.
        reason: why the sandbox ended it.
        obstacle: what in the command line keeps the agent out.
    """
    if reason.startswith("scratch_limit"):
        return TargetError(f"the script was ended: {reason.partition(': ')[2]}", "allow more with --scratch-limit")
    if "gputune: cannot attach" in tail:
        return InconclusiveError(f"gputune could not attach to the script; it said:\n{tail.rstrip()}")
    if status not in (0, None):
        return TargetError(f"the script failed with exit status {status}; its own output ends with:\n{tail.rstrip()}")
    if goodbye is None and obstacle:
        return InconclusiveError(f"gputune could not attach: {obstacle}", HINT_OBSTACLE)
    if goodbye is None:
        return InconclusiveError(NEVER_AWAKE, HINT_NO_LOADER)
    loaders = goodbye.loaders
    if not loaders:
        return InconclusiveError("the script ended without constructing a DataLoader", HINT_NO_LOADER)
    batches = sum(loader.batches for loader in loaders)
    if batches == 0:
        first = loaders[0]
        return InconclusiveError(
            f"no loader ever yielded a batch (the first was constructed at {first.file}:{first.line})",
            "check that the dataset is not empty and that the loop is reached",
        )
    return InconclusiveError(
        f"the script ended after {batches} batches, before anything could be measured",
        "give it more data or more epochs for the probe",
    )


def never_trained(error: Exception) -> str:
    """Return the message for a script that runs but never reaches a second batch."""
    return f"the script did not train within its time: {error}"


def no_hot_swap(reason: str) -> str:
    """Return the line for a process whose running loader cannot be changed."""
    return f"the running loader cannot be changed here ({reason}): each trial gets a fresh process, which takes longer"


def cannot_attach(error: Exception) -> str:
    """Return the message for an agent that cannot work in the target."""
    return f"cannot measure this script: {error}"


def ends_too_often(times: int) -> str:
    """Return the message for a script so short that it ends again and again."""
    return f"the script ended by itself {times} times during one measurement"


def disturbed(cores: float) -> str:
    """Return the line for a burst that is repeated."""
    return f"other processes used {cores:.1f} cores during that burst; measuring it again"


def busy_machine(cores: float) -> str:
    """Return the sentence for the report when neighbours were busy throughout."""
    return f"Other processes kept about {cores:.1f} cores busy throughout, so the figures are less certain."


def already_running(pid: str) -> str:
    """Return the message for a second campaign on the machine."""
    return f"another gputune campaign (process {pid}) is measuring on this machine"


def unchanged(run_id: str, compared: str) -> str:
    """Return the line for a finished result that still holds."""
    return f"nothing has changed since run {run_id} ({compared}); this is its result, --fresh measures again"
