"""Runs at interpreter start under gputune: hands over to the user's own sitecustomize, then arms the agent.

Anything that goes wrong here is reported in one line and never stops the user's program.
"""

import sys


def _hand_over() -> None:
    """Take our folder off the import path and run the sitecustomize the user would have had."""
    import os

    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or ".") != here]
    if os.environ.get("GPUTUNE_SCOPE") == "self":
        rest = [p for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p and os.path.abspath(p) != here]
        if rest:
            os.environ["PYTHONPATH"] = os.pathsep.join(rest)
        else:
            os.environ.pop("PYTHONPATH", None)
    ours = sys.modules.pop(__name__, None)
    try:
        import sitecustomize  # type: ignore[import-not-found]  # noqa: F401  the user's own
    except ModuleNotFoundError as error:
        if error.name != "sitecustomize":
            raise
        if ours is not None:
            sys.modules[__name__] = ours


_hand_over()

try:
    from gputune.probes.attach.wake import arm

    arm()
except Exception as error:  # noqa: BLE001  the user's program must start, whatever is wrong with ours
    print(f"gputune: cannot attach to {sys.executable}: {type(error).__name__}: {error}", file=sys.stderr)
