"""Arguments for the Hugging Face Trainer: keywords, command line flags and JSON for HfArgumentParser."""

from __future__ import annotations

import json
from typing import Any

from gputune import config
from gputune.export import runtime_api
from gputune.probes.settings import Settings
from gputune.record import Run


def arguments(settings: Settings) -> dict[str, Any]:
    """Return what ``transformers.TrainingArguments`` takes; it has no field for ``in_order``."""
    kwargs = settings.dataloader_kwargs()
    kwargs.pop("in_order", None)
    return {f"dataloader_{name}": value for name, value in kwargs.items()}


def render(run: Run) -> str:
    """Return the three forms, each under a comment that says what it is."""
    settings = config.from_run(run).loaders[0].settings
    made = arguments(settings)
    kwargs = "".join(f"    {name}={value!r},\n" for name, value in made.items())
    flags = " ".join(f"--{name} {value}" for name, value in made.items())
    text = (
        f"# keyword arguments\nTrainingArguments(\n    ...,\n{kwargs})\n\n"
        f"# command line flags\n{flags}\n\n"
        f"# JSON for HfArgumentParser.parse_json_file (merge into your file)\n{json.dumps(made, indent=2)}\n"
    )
    return runtime_api.appended(text, settings)
