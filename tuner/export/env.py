"""Environment variables, for scripts that read their settings from there; works as ``.env`` file."""

from __future__ import annotations

import shlex

from gputune import config
from gputune.export import runtime_api
from gputune.probes import knob
from gputune.record import Run

PREFIX = "DATALOADER_"


def render(run: Run) -> str:
    """Return one ``NAME=value`` a line; booleans are 1 and 0."""
    made = config.from_run(run)
    settings = made.loaders[0].settings
    values = settings.dataloader_kwargs()
    lines = ["# your script has to read these, torch does not: int(os.environ['DATALOADER_NUM_WORKERS'])"]
    lines += [f"{PREFIX}{name.upper()}={int(value)}" for name, value in values.items()]
    if made.knobs:
        lines.append(f"{knob.VARIABLE}={shlex.quote(knob.environment(made.knobs.items()))}")
    return runtime_api.appended("\n".join(lines) + "\n", settings)
