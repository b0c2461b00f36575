"""Overrides for Hydra and OmegaConf: the string for the command line and the YAML fragment for a file."""

from __future__ import annotations

from gputune import config
from gputune.export import runtime_api
from gputune.record import Run

PREFIX = "data"
"""Where most templates keep loader settings; rename the node to yours."""


def render(run: Run, prefix: str = PREFIX) -> str:
    """Return override string and fragment under the node ``prefix``."""
    settings = config.from_run(run).loaders[0].settings
    values = {name: _text(value) for name, value in settings.dataloader_kwargs().items()}
    overrides = " ".join(f"{prefix}.{name}={value}" for name, value in values.items())
    fragment = "".join(f"  {name}: {value}\n" for name, value in values.items())
    text = f"# on the command line (a key that your config lacks needs a + before it)\n{overrides}\n\n" \
           f"# in a config file\n{prefix}:\n{fragment}"  # fmt: skip
    return runtime_api.appended(text, settings)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
