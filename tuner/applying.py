"""Finds the configuration to apply and puts it where the agent can read it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from gputune import config as configs
from gputune.errors import RecordError
from gputune.files import write_whole
from gputune.lock import cache_folder
from gputune.probes.agent.apply import ApplyConfig, LoaderConfig
from gputune.record import Outcome, Run
from gputune.record import load as load_run
from gputune.script import Script
from gputune.store import resolve, runs


def load(reference: str | None, results_dir: Path, script: Script) -> configs.Config:
    """Return the configuration a reference names, or the newest recommendation for this script.

    Raises:
        GputuneError: nothing to apply, or it cannot be read.
    """
    if reference is None:
        return configs.load(_newest_for(script, results_dir))
    path = Path(reference)
    if path.suffix in configs.SUFFIXES or path.is_dir():
        return configs.load(path)
    return configs.load(resolve(reference, results_dir))


def _newest_for(script: Script, results_dir: Path) -> Path:
    """Return the newest run that recommends settings for this script (or this module)."""
    for stored in reversed(runs(results_dir)):
        if stored.head is None or stored.head.outcome != Outcome.RECOMMENDED.value:
            continue
        if _is_same(load_run(stored.path), script):
            return stored.path
    raise RecordError(
        f"no run in {results_dir} recommends settings for {script.name}",
        f"make one with: gputune profile {' '.join(script.command)}",
    )


def _is_same(run: Run, script: Script) -> bool:
    if script.path is None:
        return run.command[:2] == script.command[:2]
    return (Path(run.cwd) / run.command[0]).resolve() == script.path


def store(config: configs.Config) -> Path:
    """Write the part of a configuration that the agent reads to the user's cache, named by its content.

    The process is replaced by the script, so there is nobody left to remove a temporary file; files of the same
    content are written once.
    """
    loaders = [
        LoaderConfig(
            file=str(Path(loader.file).resolve()),
            line=loader.line,
            function=loader.function,
            dataset_class=loader.dataset_class,
            settings=loader.settings,
        )
        for loader in config.loaders
    ]
    data = msgspec.json.encode(ApplyConfig(loaders=loaders))
    folder = cache_folder() / "applied"
    folder.mkdir(exist_ok=True)
    path = folder / f"{hashlib.sha256(data).hexdigest()[:16]}.json"
    return path if path.exists() else write_whole(path, data)
