"""Applies stored settings to loaders as they are constructed: ``gputune run``, and trials in fresh processes.

Only the constructor is wrapped; iterating a loader costs exactly what it costs without us.
"""

from __future__ import annotations

import ast
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from gputune.probes.agent.hooks import watch_construction
from gputune.probes.agent.ranks_identity import identity
from gputune.probes.agent.sites import Sites, settings_of
from gputune.probes.agent.swap import set_on_loader
from gputune.probes.attach.wake import AfterImport
from gputune.probes.settings import Settings

STATEFUL = "torchdata.stateful_dataloader.stateful_dataloader"
"""Its loader is a DataLoader that never calls DataLoader's constructor."""


class LoaderConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The settings for the loaders of one construction site."""

    file: str
    line: int
    function: str = ""
    dataset_class: str = ""
    settings: Settings


class ApplyConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What the agent reads: the part of an exported configuration it needs."""

    loaders: list[LoaderConfig]


class Applier:
    """Matches constructed loaders with configured sites.

    Args:
        config: the settings to apply.
        quiet: do not talk about it.
    """

    def __init__(self, config: ApplyConfig, *, quiet: bool = False) -> None:
        self._config, self._quiet = config, quiet
        self._sites = Sites()
        self._said: set[tuple[str, int]] = set()

    def constructed(self, loader: Any) -> None:
        """Set the loader's settings if its site is configured, and say what was or was not done (once a site)."""
        site = self._sites.constructed(loader)
        wanted, why_not = self._match(site, type(loader.dataset).__qualname__)
        before = settings_of(loader)
        if wanted is not None:
            set_on_loader(loader, wanted)
            differences = before.differences(wanted.loader_only())
            changes = ", ".join(f"{name} {old} -> {new}" for name, (old, new) in differences.items())
            self._say(site.key, f"applied to the loader at {_short(*site.key)}: {changes or 'nothing to change'}")
        else:
            self._say(site.key, f"left the loader at {_short(*site.key)} alone: {why_not}")

    def process_wide(self) -> Settings | None:
        """Return settings with what any loader's settings switch on in the process itself, and say it."""
        wanted: dict[str, Any] = {}
        for loader in self._config.loaders:
            wanted |= loader.settings.process_wide()
        for name, value in wanted.items():
            self._say((name, 0), f"applied to the process: {name}={value}")
        return Settings.make(**wanted) if wanted else None

    def _match(self, site: Any, dataset_class: str) -> tuple[Settings | None, str]:
        same_file = [c for c in self._config.loaders if _same_file(c.file, site.file)]
        for candidate in same_file:
            if candidate.line == site.line:
                return self._checked(candidate, dataset_class)
        moved = [c for c in same_file if c.function == site.function and c.dataset_class == dataset_class]
        if len(moved) == 1 and len(same_file) == 1 and not _still_constructs(site.file, moved[0].line):
            return self._checked(moved[0], dataset_class)
        return None, "no settings were recommended for this line"

    @staticmethod
    def _checked(candidate: LoaderConfig, dataset_class: str) -> tuple[Settings | None, str]:
        if candidate.dataset_class and candidate.dataset_class != dataset_class:
            return (
                None,
                f"it loads a {dataset_class}, the settings were measured with a {candidate.dataset_class}",
            )
        return candidate.settings, ""

    def _say(self, key: tuple[str, int], text: str) -> None:
        # All ranks of a job apply the same; the first one says so.
        if not self._quiet and key not in self._said and identity().rank == 0:
            self._said.add(key)
            print(f"gputune: {text}", file=sys.stderr)


def install(
    dataloader: ModuleType, config_path: str, after_import: AfterImport, *, quiet: bool = False
) -> Settings | None:
    """Apply the settings of a file to every loader that will be constructed.

    Returns what is to be switched on in the process itself, or ``None`` when that is nothing.

    Raises:
        msgspec.ValidationError: the file is no configuration (the caller reports it; the script runs on).
    """
    config = msgspec.json.decode(Path(config_path).read_bytes(), type=ApplyConfig)
    applier = Applier(config, quiet=quiet)
    watch_construction(dataloader.DataLoader, applier.constructed)
    after_import(STATEFUL, lambda module: watch_construction(module.StatefulDataLoader, applier.constructed))
    return applier.process_wide()


def _same_file(configured: str, actual: str) -> bool:
    return os.path.realpath(configured) == os.path.realpath(actual)


def _still_constructs(file: str, line: int) -> bool:
    """Whether a line still calls something that makes a loader; if so, a loader of another line is another loader."""
    try:
        tree = ast.parse(Path(file).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return False
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    return any(c.lineno <= line <= (c.end_lineno or 0) and "load" in ast.unparse(c.func).lower() for c in calls)


def _short(file: str, line: int) -> str:
    relative = os.path.relpath(file)
    return f"{file if relative.startswith('..') else relative}:{line}"
