"""Stored baselines: what a script did on one kind of hardware, with its noise, kept in the repository."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from gputune import metrics, neighbours, stats
from gputune._version import __version__
from gputune.errors import InconclusiveError, RecordError, UsageError
from gputune.files import write_whole
from gputune.record import Machine, Run

SCHEMA_VERSION = 1
"""1: first published form."""
MAX_FILE_BYTES = 1 << 20
"""A baseline is a few kilobytes; what is larger is something else."""
MIN_REPEATS = 4
"""Fewer repeats do not show the noise."""
_HINT = "record one with: gputune check --save-baseline NAME SCRIPT"


class Fingerprint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What absolute numbers depend on."""

    gpu: str = ""
    driver: str = ""
    cpu_model: str = ""
    effective_cpus: float | None = None
    torch: str = ""

    def differences(self, other: Fingerprint) -> list[str]:
        """Return ``name mine -> theirs`` for everything that differs."""
        names = {"effective_cpus": "CPUs", "cpu_model": "CPU", "gpu": "GPU"}
        pairs = [(name, getattr(self, name), getattr(other, name)) for name in self.__struct_fields__]
        return [
            f"{names.get(n, n)} {mine or 'none'} -> {theirs or 'none'}" for n, mine, theirs in pairs if mine != theirs
        ]

    @property
    def folder(self) -> str:
        """A name for the hardware: the GPU, or the CPU and how much of it."""
        cpus = f"{self.effective_cpus:g}" if self.effective_cpus else "unknown"
        return _slug(self.gpu or f"{self.cpu_model or 'cpu'}-{cpus}cpu")


class Acknowledgement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A regression somebody accepted, and why."""

    reason: str
    created_at: str
    run: str
    ratio: float
    """New throughput / old."""
    before_samples_per_s: float
    after_samples_per_s: float


class Baseline(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One baseline. Lists hold one value a round, so that their spread is the noise."""

    schema_version: int = SCHEMA_VERSION
    tool_version: str = __version__
    name: str
    created_at: str
    command: list[str]
    fingerprint: Fingerprint
    samples_per_s: list[float]
    of_ceiling: list[float] = []
    other_cpu_cores: float = 0.0
    """Median of the cores other processes kept busy meanwhile."""
    lost_shares: list[float] = []
    """Of each round, the part of its time lost standing in line for a CPU that others had (empty: unknown)."""
    acknowledgements: list[Acknowledgement] = []

    @property
    def throughput(self) -> float:
        """Geometric mean of the rounds, samples/s."""
        return stats.ratio_interval(self.samples_per_s).value


def of_machine(machine: Machine, torch: str = "") -> Fingerprint:
    """Return what absolute numbers measured here depend on."""
    return Fingerprint(
        gpu=machine.gpu,
        driver=machine.driver,
        cpu_model=machine.cpu_model,
        effective_cpus=machine.effective_cpus,
        torch=torch,
    )


def fingerprint(run: Run) -> Fingerprint:
    """Return what the absolute numbers of a run depend on."""
    return of_machine(run.machine, run.environment.torch if run.environment else "")


def from_run(run: Run, name: str, acknowledgements: Sequence[Acknowledgement] = ()) -> Baseline:
    """Return the baseline a run makes.

    Raises:
        InconclusiveError: it holds too few repeats to know its noise.
    """
    rates = [stats.samples_per_s(burst) for burst in metrics.user_bursts(run)]
    if len(rates) < MIN_REPEATS:
        raise InconclusiveError(
            f"run {run.id} holds {len(rates)} repeats; a baseline needs {MIN_REPEATS} to know its noise",
            "record it from the script: gputune check --save-baseline NAME SCRIPT",
        )
    return Baseline(
        name=name,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        command=list(run.command),
        fingerprint=fingerprint(run),
        samples_per_s=rates,
        of_ceiling=metrics.ceiling_ratios(run),
        other_cpu_cores=neighbours.cores(metrics.user_bursts(run)),
        lost_shares=neighbours.lost_shares(metrics.user_bursts(run)),
        acknowledgements=list(acknowledgements),
    )


def check_name(name: str) -> str:
    """Return a name that is safe as a file name.

    Raises:
        UsageError: it is none.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", name):
        raise UsageError(
            f"{name!r} is no name for a baseline: letters, digits, dot, dash and underscore, at most 64",
            "example: --save-baseline train",
        )
    return name.removesuffix(".json")


def path_of(root: Path, baseline: Baseline) -> Path:
    """Return where a baseline belongs: ``<root>/<hardware>/<name>.json``."""
    return root / baseline.fingerprint.folder / f"{baseline.name}.json"


def save(path: Path, baseline: Baseline) -> Path:
    """Write a baseline so that it is either whole or not there.

    Raises:
        RecordError: the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecordError(f"cannot create {path.parent}: {error.strerror}", "choose another --results-dir") from error
    return write_whole(path, msgspec.json.format(msgspec.json.encode(baseline), indent=1) + b"\n")


def find(root: Path, name: str, here: Fingerprint) -> Path | None:
    """Return the file of a baseline: of this hardware, else of any other, or ``None``.

    Args:
        root: the folder of all baselines.
        name: a name, or the path of a file.
        here: this machine.
    """
    if (named := Path(name)).suffix == ".json" and named.is_file():
        return named
    own = root / here.folder / f"{name}.json"
    if own.is_file():
        return own
    others = sorted(root.glob(f"*/{name}.json")) if re.fullmatch(r"[\w.-]+", name) else []
    return others[0] if others else None


def load(path: Path) -> Baseline:
    """Read a baseline.

    Raises:
        RecordError: missing, too large, malformed, of a newer schema, or without numbers.
    """
    data = _read(path)
    try:
        version = msgspec.json.decode(data, type=_Head).schema_version
        if version > SCHEMA_VERSION:
            raise RecordError(
                f"{path} has schema version {version}; this gputune reads up to {SCHEMA_VERSION}",
                "upgrade gputune: pip install -U gputune",
            )
        found = msgspec.json.decode(data, type=Baseline)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError) as error:
        raise RecordError(f"{path} is no gputune baseline: {' '.join(str(error).split())}", _HINT) from error
    if len(found.samples_per_s) < MIN_REPEATS or not all(0 < v < 1e15 for v in found.samples_per_s + found.of_ceiling):
        raise RecordError(f"{path} is no gputune baseline: it needs {MIN_REPEATS} positive numbers or more", _HINT)
    return found


class _Head(msgspec.Struct):
    schema_version: int


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise RecordError(f"cannot read baseline {path}: {error.strerror}", _HINT) from error
    if len(data) > MAX_FILE_BYTES:
        raise RecordError(f"{path} is larger than {MAX_FILE_BYTES} bytes, which no baseline is", _HINT)
    return data


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", re.sub(r"\((r|tm)\)", "", text.lower())).strip("-")[:60] or "unknown"


def accepted(old: Baseline, run: Run, reason: str) -> Baseline:
    """Return the baseline that follows from accepting what a run measured.

    Raises:
        InconclusiveError: the run holds too few repeats.
    """
    new = from_run(run, old.name)
    entry = Acknowledgement(
        reason=reason,
        created_at=new.created_at,
        run=run.id,
        ratio=new.throughput / old.throughput,
        before_samples_per_s=old.throughput,
        after_samples_per_s=new.throughput,
    )
    return msgspec.structs.replace(new, acknowledgements=[*old.acknowledgements, entry])
