"""Environment variables, for scripts that read their settings from there; works as ``.env`` file."""

from __future__ import annotations

from gputune import config
from gputune.export import runtime_api
from gputune.record import Run

PREFIX = "DATALOADER_"


def render(run: Run) -> str:
    """Return one ``NAME=value`` a line; booleans are 1 and 0."""
    settings = config.from_run(run).loaders[0].settings
    values = settings.dataloader_kwargs()
    lines = ["# your script has to read these, torch does not: int(os.environ['DATALOADER_NUM_WORKERS'])"]
    lines += [f"{PREFIX}{name.upper()}={int(value)}" for name, value in values.items()]
    return runtime_api.appended("\n".join(lines) + "\n", settings)
