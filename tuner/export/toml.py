"""The configuration as TOML; the standard library only reads it, so the little we need is written here."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from gputune import config
from gputune.record import Run


def render(run: Run) -> str:
    """Return the recommended configuration as TOML."""
    return "# Read by: gputune run --config FILE script.py\n" + text(config.from_run(run))


def text(configuration: config.Config) -> str:
    """Return any configuration as TOML; values that are not set are left out, TOML has no null."""
    document = msgspec.to_builtins(configuration)
    loaders, knobs = document.pop("loaders"), document.pop("knobs", {})
    lines = _pairs(document)
    for loader in loaders:
        settings = loader.pop("settings")
        pipeline = settings.pop("tensorflow", None)
        lines += ["", "[[loaders]]", *_pairs(loader), "[loaders.settings]", *_pairs(settings)]
        if pipeline:
            lines += ["[loaders.settings.tensorflow]", *_pairs(pipeline)]
    if not loaders:
        lines.append("loaders = []")
    if knobs:
        lines += ["", "[knobs]", *_pairs(knobs)]
    return "\n".join(lines) + "\n"


def _pairs(table: dict[str, Any]) -> list[str]:
    return [f"{name} = {_value(value)}" for name, value in table.items() if value is not None]


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, list):
        return f"[{', '.join(_value(item) for item in value)}]"
    # A JSON string is a TOML basic string, but for DEL, which TOML wants escaped, and for escaped surrogate
    # pairs, which it does not know: those stay as they are.
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007F")
