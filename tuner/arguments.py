"""Argument types shared by the verbs: settings on the command line, and the user's own command."""

from __future__ import annotations

import argparse
import difflib
import re
from typing import Any

from gputune.errors import UsageError
from gputune.probes.settings import SETTINGS, Safety
from gputune.probes.tensorflow.settings import PIPELINE_SETTINGS


def add_script(parser: argparse.ArgumentParser) -> None:
    """Add the user's command: a script with its arguments, ``-m module ...`` or ``-- launcher ...``.

    The first word that is not an option of ours ends our options, as under plain ``python``.
    """
    parser.add_argument(
        "-m", dest="module", nargs=argparse.REMAINDER, metavar="MODULE", help="run a module, like python -m"
    )
    parser.add_argument(
        "script",
        nargs=argparse.REMAINDER,
        metavar="SCRIPT [ARGS]",
        help="the unmodified script and its own arguments",
    )


def parse_restrictions(
    sets: list[str], fixes: list[str]
) -> tuple[dict[str, tuple[Any, ...]], dict[str, tuple[str, ...]]]:
    """Return the only values to consider for each named loader setting, and for each knob of the script.

    Which knobs there are is known once the script runs; a name close to that of a loader setting is a typing error.

    Args:
        sets: ``name=value,value,...`` from ``--set``.
        fixes: ``name=value`` from ``--fix``.

    Raises:
        UsageError: misspelt setting, no value, or a value the setting does not take.
    """
    found: dict[str, tuple[Any, ...]] = {}
    knobs: dict[str, tuple[str, ...]] = {}
    for option, texts, many in (("--set", sets, True), ("--fix", fixes, False)):
        for text in texts:
            name, separator, values = text.partition("=")
            if not separator or not values:
                raise UsageError(f"{option} {text}: a setting needs a value", f"example: {option} num_workers=4")
            setting = SETTINGS.get(name) or PIPELINE_SETTINGS.get(name)
            parts, known = values.split(",") if many else [values], [*SETTINGS, *PIPELINE_SETTINGS]
            if setting is None and name.isidentifier() and not difflib.get_close_matches(name, known, n=1):
                knobs[name] = tuple(parts)
                continue
            if setting is None:
                raise UsageError(f"{option} {text}: there is no setting {name!r}", _suggest(name, known))
            try:
                found[name] = tuple(setting.parse(part) for part in parts)
            except ValueError as error:
                raise UsageError(
                    f"{option} {text}: {error}", f"example: {option} {name}={setting.choices[-1]}"
                ) from None
    return found, knobs


def parse_allowed(names: list[str]) -> tuple[str, ...]:
    """Check the names given to ``--allow``.

    Raises:
        UsageError: not the name of a setting that has to be allowed.
    """
    semantic = [name for name, setting in SETTINGS.items() if setting.safety is Safety.SEMANTIC]
    semantic += [name for name, pipeline in PIPELINE_SETTINGS.items() if pipeline.semantic]
    for name in names:
        if name not in semantic:
            raise UsageError(f"--allow {name}: only {', '.join(semantic)} can be allowed", _suggest(name, semantic))
    return tuple(names)


def parse_size(option: str, text: str) -> int:
    """Return the bytes that ``500M``, ``20G`` or a plain number stand for.

    Raises:
        UsageError: no size above 0.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    size = int(float(match[1]) * 1024 ** " KMGT".index(match[2].upper() or " ")) if match else 0
    if size <= 0:
        raise UsageError(f"{option} {text}: a size is a number above 0 with K, M, G or T", f"example: {option} 20G")
    return size


def check_device(text: str | None) -> None:
    """Check the value of ``--device``.

    Raises:
        UsageError: neither ``cpu`` nor ``cuda`` nor ``cuda:N``.
    """
    if text is not None and not re.fullmatch(r"cpu|cuda(:\d+)?", text):
        raise UsageError(f"--device {text}: a device is cpu, cuda or cuda:N", "example: --device cuda:1")


def _suggest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]}?" if close else f"settings: {', '.join(known)}"
