"""The exported configuration: which settings which loader gets. Read by ``gputune run`` and by people."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from gputune import record
from gputune._version import __version__
from gputune.errors import InconclusiveError, RecordError
from gputune.probes.protocol import LoaderSite
from gputune.probes.settings import SETTINGS, Settings

SCHEMA_VERSION = 1
"""1: first published form."""
MAX_CONFIG_BYTES = 1 << 20
"""A configuration is a few hundred bytes; what is larger is something else."""
SUFFIXES = (".json", ".yaml", ".yml", ".toml")


class LoaderConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of the loaders constructed at one place."""

    file: str
    line: int
    function: str = ""
    user_file: str = ""
    user_line: int = 0
    dataset_class: str = ""
    role: str = "unknown"
    settings: Settings


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a campaign proved, in the form that is applied."""

    schema_version: int = SCHEMA_VERSION
    tool_version: str = __version__
    created_at: str = ""
    """ISO 8601; when the campaign ran."""
    command: list[str] = []
    loaders: list[LoaderConfig] = []
    knobs: dict[str, bool | int | float | str] | msgspec.UnsetType = msgspec.UNSET
    """Values of the script's own knobs (:func:`gputune.knob`) that are not at their defaults."""


def from_run(run: record.Run) -> Config:
    """Return the recommended settings of the training loader; loaders that were not measured are left alone.

    Raises:
        InconclusiveError: the run recommends nothing.
    """
    if run.recommendation is None or run.loader is None:
        raise InconclusiveError(
            f"run {run.id} recommends nothing ({run.outcome.value.replace('_', ' ')}): nothing to export",
            f"see why: gputune report {run.id}",
        )
    site = run.loader
    loader = LoaderConfig(
        file=site.file,
        line=site.line,
        function=site.function,
        user_file=site.user_file,
        user_line=site.user_line,
        dataset_class=site.dataset_class,
        role=site.role,
        settings=run.recommendation.settings.replace(knobs=()),
    )
    return Config(
        tool_version=run.tool_version,
        created_at=run.created_at,
        command=list(run.command),
        loaders=[loader],
        knobs=run.recommendation.settings.knob_values or msgspec.UNSET,
    )


def load(path: Path) -> Config:
    """Read a configuration (json, yaml or toml by suffix), or take it from a results folder or ``run.json``.

    Raises:
        RecordError: missing, unreadable, too large, malformed, of a newer schema, or with impossible values.
        InconclusiveError: a run that recommends nothing.
    """
    if path.is_dir() or path.name == record.RUN_FILE:
        return from_run(record.load(path))
    if path.suffix not in SUFFIXES:
        raise RecordError(
            f"{path} is no configuration: its name ends in {path.suffix!r}, not in {', '.join(SUFFIXES)}",
            "write one with: gputune export --format yaml -o gputune.yaml",
        )
    data = _read(path)
    return parse(data, path.suffix, str(path))


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_CONFIG_BYTES + 1)
    except OSError as error:
        raise RecordError(
            f"cannot read {path}: {error.strerror}",
            "write one with: gputune export --format yaml -o gputune.yaml",
        ) from error
    if len(data) > MAX_CONFIG_BYTES:
        raise RecordError(f"{path} is larger than {MAX_CONFIG_BYTES} bytes, which no configuration of ours is")
    return data


def parse(data: bytes, suffix: str, name: str) -> Config:
    """Return the configuration in ``data``; ``name`` appears in errors.

    Raises:
        RecordError: malformed, of a newer schema, or holding impossible values.
    """
    try:
        raw = _decode(data, suffix)
        _refuse_newer(raw, name)
        config = msgspec.convert(raw, Config)
    except (
        msgspec.DecodeError,
        msgspec.ValidationError,
        tomllib.TOMLDecodeError,
        UnicodeDecodeError,
    ) as error:
        raise RecordError(f"{name} is no gputune configuration: {_one_line(error)}") from error
    except RecursionError as error:
        raise RecordError(f"{name} is no gputune configuration: nested too deeply") from error
    for loader in config.loaders:
        _check(loader.settings, f"{name}: loader at {loader.file}:{loader.line}")
    return config


def _decode(data: bytes, suffix: str) -> Any:
    if suffix == ".json":
        return msgspec.json.decode(data)
    if suffix == ".toml":
        return tomllib.loads(data.decode())
    return msgspec.yaml.decode(data)


def _refuse_newer(raw: Any, name: str) -> None:
    version = raw.get("schema_version") if isinstance(raw, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise RecordError(
            f"{name} has schema version {version}; this gputune reads up to {SCHEMA_VERSION}",
            "upgrade gputune: pip install -U gputune",
        )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _check(settings: Settings, where: str) -> None:
    """Refuse values that torch would refuse, naming the rule."""
    for name, setting in SETTINGS.items():
        value = getattr(settings, name)
        if setting.kind is int and value is not None:
            try:
                setting.parse(str(value))
            except ValueError as error:
                raise RecordError(f"{where}: {error}") from error
    if settings != (valid := Settings.make(**msgspec.structs.asdict(settings))):
        wrong = ", ".join(f"{name}={mine}" for name, (mine, _) in settings.differences(valid).items())
        raise RecordError(
            f"{where}: {wrong} does not go with num_workers={settings.num_workers}",
            "prefetch_factor and persistent_workers need workers, and workers need a prefetch_factor",
        )


def hash_sources(sites: Iterable[LoaderSite]) -> dict[str, str]:
    """Return the SHA-256 of each readable file that constructs a loader: ``Run.sources``."""
    found = {}
    for file in {site.file for site in sites}:
        path = Path(file)
        if path.is_file():
            found[file] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found
