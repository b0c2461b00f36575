"""The causes a diagnosis tells apart, and the form of a finding."""

from __future__ import annotations

from enum import Enum

import msgspec


class Cause(Enum):
    """Why a run is slower than it could be."""

    MAIN_THREAD = "main_thread"
    """The training thread loads (num_workers=0)."""
    CPU = "cpu"
    """Workers compute and are too few."""
    CORES = "cores"
    """Workers compute and the machine has too few cores for them."""
    OVERSUBSCRIPTION = "oversubscription"
    """Library threads inside workers compete for the cores."""
    STORAGE = "storage"
    """Each sample waits for storage or network."""
    BANDWIDTH = "bandwidth"
    """Storage or network gives no more however many ask."""
    COLD_CACHE = "cold_cache"
    """Samples come off the disk although the data set would fit into memory: the first pass over it."""
    COLLATE = "collate"
    """Putting samples together into a batch costs more than making them."""
    SLOW_SAMPLES = "slow_samples"
    QUEUE = "queue"
    """Handing batches over costs more than making them."""
    WORKER_START = "worker_start"
    EPOCH_END = "epoch_end"
    """Code at the end of each pass over the data that no other line explains."""
    VALIDATION = "validation"
    VALIDATION_LOADER = "validation_loader"
    """Validation waits for its own loader."""
    CHECKPOINT = "checkpoint"
    LOGGING = "logging"
    COPY = "copy"
    MAIN_CODE = "main_code"
    """Code of the script's own between loader and model, on the training thread."""
    SYNC = "sync"
    """The script makes the host wait for the device in every step (``.item()``, ``.cpu()``, ``print(tensor)``)."""
    PYTHON = "python"
    """Python code between steps that no single place explains: a framework's own machinery, callbacks."""
    MEMORY = "memory"
    """Costs no time yet: the processes grow so fast that memory will run out."""
    NO_LOADER = "no_loader"
    STEP = "step"
    """Nothing is wrong: the model's own computation takes the time."""
    UNKNOWN = "unknown"


class Severity(Enum):
    """How much a finding matters."""

    CAUSE = "cause"
    """The one to act on first."""
    COST = "cost"
    """Costs time of its own."""
    NOTE = "note"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing found."""

    cause: Cause
    severity: Severity = Severity.COST
    share: float = 0.0
    """What it costs: part of wall time, 0 to 1."""
    sentence: str = ""
    advice: str = ""
    """Empty where the user does it already."""
    gain: float | None = None
    """Speed-up if it cost nothing; an upper bound."""
    evidence: dict[str, float] = {}
    place: str = ""
    """Where in the user's source."""
