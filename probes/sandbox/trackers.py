"""Experiment trackers go offline while a script is probed, by the variables they document for it."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

SCRATCH = "@GPUTUNE_SCRATCH@"
"""In an environment value: replaced by the probe's private temporary directory when the command starts."""
_MAX_SOURCE_BYTES = 1 << 20
_UPLOADS = re.compile(r"push_to_hub\s*=\s*True|\.push_to_hub\(|\bupload_folder\(|\bupload_file\(|upload_large_folder\(")


class Tracker(NamedTuple):
    """How one tracker is kept from the network."""

    name: str
    module: str
    variables: dict[str, str]
    quiet: tuple[str, ...] = ()
    """Values of those variables that a user may have set already and that are left alone."""


_QUIET = ("offline", "disabled")
TRACKERS = (
    Tracker("Weights & Biases", "wandb", {"WANDB_MODE": "offline"}, (*_QUIET, "dryrun")),
    Tracker("MLflow", "mlflow", {"MLFLOW_TRACKING_URI": f"file:{SCRATCH}/mlruns"}),
    Tracker(
        "Comet",
        "comet_ml",
        {"COMET_MODE": "OFFLINE", "COMET_START_ONLINE": "0", "COMET_OFFLINE_DIRECTORY": f"{SCRATCH}/comet"},
        _QUIET,
    ),
    Tracker("Neptune", "neptune", {"NEPTUNE_MODE": "offline"}, (*_QUIET, "debug")),
    Tracker("Neptune Scale", "neptune_scale", {"NEPTUNE_MODE": "offline"}, (*_QUIET, "debug")),
    Tracker("ClearML", "clearml", {"CLEARML_OFFLINE_MODE": "1"}, ("1", "true")),
    Tracker("SwanLab", "swanlab", {"SWANLAB_MODE": "offline"}, (*_QUIET, "local")),
)


def offline_environment(
    env: Mapping[str, str], installed: Callable[[str], bool] | None = None
) -> tuple[dict[str, str], list[str]]:
    """Return the environment with every tracker offline, and one sentence for each tracker this concerns.

    The variables are set for all trackers (the command may use another Python); the sentences name only those
    that are installed here. A value that is quiet already is left as it is.

    Args:
        env: the user's environment; unchanged.
        installed: whether a module can be imported; looked up without importing it by default.
    """
    can_import = installed or _can_import
    environment, sentences = dict(env), []
    for tracker in TRACKERS:
        changes = {
            name: value for name, value in tracker.variables.items() if env.get(name, "").lower() not in tracker.quiet
        }
        environment.update(changes)
        if changes and can_import(tracker.module):
            shown = " ".join(f"{name}={value.replace(SCRATCH, 'SCRATCH')}" for name, value in changes.items())
            sentences.append(f"{tracker.name} stays offline during the probe ({shown})")
    return environment, sentences


def upload_warnings(command: Sequence[str], cwd: Path) -> list[str]:
    """Return a warning for each sign that the command uploads to a model hub, which no variable can forbid.

    Looks at the arguments and at the source of the scripts named there, not at what they import.
    """
    warnings = []
    for argument in command:
        if argument.lstrip("-").replace("-", "_").partition("=")[0] == "push_to_hub":
            warnings.append(f"the argument {argument} uploads to a hub, also during the probe: leave it out")
        file = cwd / argument
        if argument.endswith(".py") and file.is_file() and file.stat().st_size <= _MAX_SOURCE_BYTES:
            for number, line in enumerate(file.read_text(errors="replace").splitlines(), 1):
                if _UPLOADS.search(line) and not line.lstrip().startswith("#"):
                    warnings.append(f"{file}:{number} uploads to a hub, also during the probe")
    return warnings


def _can_import(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False  # a module without a spec was put there by hand: no tracker
