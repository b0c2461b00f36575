"""The record of one campaign: versioned, frozen, JSON on disk.

A campaign fills a :class:`Run`; every view (report, export, gate) is a function of it and of nothing else.
"""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Any

import msgspec

from gputune._version import __version__
from gputune.cost import Point
from gputune.errors import RecordError
from gputune.files import read_bounded, write_whole
from gputune.probes.burst import Burst, Hotspot, Infeasible
from gputune.probes.protocol import DataFile, Environment, Gate, LoaderSite
from gputune.probes.sandbox.records import Confinement, Written
from gputune.probes.settings import Settings
from gputune.rounds import Round

SCHEMA_VERSION = 1
"""1: first published form."""
RUN_FILE = "run.json"


class Status(Enum):
    """How a campaign ended."""

    COMPLETE = "complete"
    INTERRUPTED = "interrupted"
    SCRIPT_ENDED = "script_ended"
    SCRIPT_FAILED = "script_failed"
    NO_LOADER = "no_loader"


class Outcome(Enum):
    """What the campaign concluded."""

    RECOMMENDED = "recommended"
    NOTHING_TO_GAIN = "nothing_to_gain"
    NOT_PROVED = "not_proved"
    MACHINE_LIMIT = "machine_limit"
    UNKNOWN = "unknown"


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """The machine's limits; ``None`` where they could not be read."""

    cpus: int | None = None
    effective_cpus: float | None = None
    """The smallest of affinity and cgroup quota."""
    cpu_model: str = ""
    threads_per_core: int = 1
    """Hardware threads that share a core's units, as far as the machine tells."""
    memory_bytes: int | None = None
    memory_available_bytes: int | None = None
    shm_free_bytes: int | None = None
    open_files_limit: int | None = None
    gpu: str = ""
    driver: str = ""
    platform: str = ""


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One tried set of settings."""

    number: int
    phase: str
    """``search``, ``shrink`` or ``offload`` (checkpoints or log calls off the training thread)."""
    settings: Settings
    why: str = ""
    """What made the search propose it, in a few words."""
    predicted_samples_per_s: float | None = None
    burst: Burst | None = None
    infeasible: Infeasible | None = None
    host: str = ""
    """Another machine of a shared study that measured it; empty for this one."""


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """Two adjacent proof bursts: the user's settings and the candidate's."""

    user: Burst
    candidate: Burst


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """The comparison that a recommendation rests on."""

    candidate: Settings
    pairs: list[Pair]
    ratio: float
    """Candidate throughput / user throughput, geometric mean over pairs."""
    low: float
    high: float
    """95 % interval of the ratio."""
    better: bool
    """The interval excludes 1 and the gain is above the smallest that matters."""


class Recommendation(msgspec.Struct, frozen=True, kw_only=True):
    """Settings proved better than the user's own."""

    settings: Settings
    ratio: float
    low: float
    high: float
    reproducibility: str
    """What the change does to the samples the model sees."""
    notes: list[str] = []


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a campaign learnt."""

    schema_version: int = SCHEMA_VERSION
    tool_version: str = __version__
    id: str
    created_at: str
    """ISO 8601 with offset."""
    command: list[str]
    """The user's command: ``[script, *args]`` or ``["-m", module, *args]``."""
    cwd: str = ""
    status: Status = Status.COMPLETE
    outcome: Outcome = Outcome.UNKNOWN
    environment: Environment | None = None
    machine: Machine = Machine()
    loader: LoaderSite | None = None
    loaders: list[LoaderSite] = []
    gates: list[Gate] = []
    options: dict[str, Any] = {}
    """The profile options that shaped the campaign (budget, fixed settings, seed, ...)."""
    baseline: Burst | None = None
    ceiling: Burst | None = None
    diagnosis: Burst | None = None
    """A burst with stacks sampled; its speed is not compared with others."""
    alone: list[Hotspot] = []
    """What the main thread of a script without a loader did, by line."""
    rounds: list[Round] = []
    """The repeats of a check."""
    trials: list[Trial] = []
    front: list[Point] = []
    """Measured settings that nothing beats in both speed and cost, cheapest first (the Pareto front)."""
    proof: Proof | None = None
    recommendation: Recommendation | None = None
    stopped_because: str = ""
    """Why the search ended."""
    confinement: Confinement | None = None
    """How the user's files were protected."""
    written: list[Written] = []
    """What the script wrote into the scratch space (or for real, without protection), largest first."""
    written_bytes: int = 0
    data: list[DataFile] = []
    """Files and folders that the training dataset names, as they were when the training loop began."""
    missing: list[str] = []
    """What could not be measured, and why, one sentence each."""
    phases_s: dict[str, float] = {}
    """Wall time of each phase of the campaign."""
    startup_s: float = 0.0
    script_output_tail: str = ""
    """The end of what the script wrote, kept when it failed."""
    sources: dict[str, str] = {}
    """SHA-256 of the script, its own modules and each file that constructs a loader, by absolute path."""

    def _repr_html_(self) -> str:
        """Show the report in a notebook, in a frame of its own so that its styles stay inside."""
        from gputune.report.notebook import frame

        return frame(self)


def dump(run: Run) -> bytes:
    """Return the run as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(run), indent=1) + b"\n"


def save(run: Run, folder: Path) -> Path:
    """Write ``run.json`` into ``folder`` so that it is either whole or not there."""
    folder.mkdir(parents=True, exist_ok=True)
    return write_whole(folder / RUN_FILE, dump(run))


def load(path: Path) -> Run:
    """Read a run from ``run.json`` or from the folder that holds it.

    Raises:
        RecordError: missing, unreadable, too large, not a run, or of a newer schema.
    """
    file = path / RUN_FILE if path.is_dir() else path
    version = _peek(data := read_bounded(file), file)
    if version > SCHEMA_VERSION:
        raise RecordError(
            f"{file} has schema version {version}; this gputune reads up to {SCHEMA_VERSION}",
            "upgrade gputune: pip install -U gputune",
        )
    try:
        run = msgspec.json.decode(data, type=Run)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError) as error:
        raise RecordError(f"{file} is no gputune run: {_one_line(error)}") from error
    from gputune.consistency import problem  # it knows this module

    if wrong := problem(run):
        raise RecordError(f"{file} is no gputune run: {wrong}")
    return run


def _peek(data: bytes, file: Path) -> int:
    class Head(msgspec.Struct):
        schema_version: int

    try:
        return msgspec.json.decode(data, type=Head).schema_version
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError) as error:
        raise RecordError(f"{file} is no gputune run: {_one_line(error)}") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def schema() -> dict[str, Any]:
    """Return the JSON Schema of a stored run."""
    return msgspec.json.schema(Run)
