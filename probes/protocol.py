"""What tuner and agent say to each other: orders one way, events the other.

Messages are msgpack with a length prefix over two inherited pipes (see :mod:`gputune.probes.channel`); strict
types on both sides, no pickle. The agent answers each order with exactly one :class:`Measured`,
:class:`TrialFailed` or :class:`Refused`.
"""

from __future__ import annotations

import msgspec

from gputune.probes.burst import Burst, Hotspot, Infeasible, Purpose
from gputune.probes.settings import Settings
from gputune.probes.tensorflow.settings import PipelineStage

PROTOCOL_VERSION = 1


class Length(msgspec.Struct, frozen=True, kw_only=True):
    """How long a burst may and must be. It ends when the rate is known to ``precision`` or ``max_s`` is over."""

    warmup_batches: int = 3
    """Discarded at least; the agent discards more when workers have to fill the pipeline."""
    min_batches: int = 12
    min_s: float = 0.8
    max_s: float = 6.0
    precision: float = 0.02
    """Relative half-width of the 90 % interval of the mean period at which to stop."""
    checkpoints: int = 0
    """With more than 0 the burst ends when it holds this many checkpoints (or ``max_s`` is over), instead of when the
    rate is known: what a checkpoint costs shows only from one to the next."""


class Measure(msgspec.Struct, frozen=True, kw_only=True, tag="measure"):
    """Order: run one burst under ``settings`` (hot-swapped at the next batch boundary)."""

    id: int
    purpose: Purpose
    settings: Settings
    length: Length = Length()
    replay: bool = False
    """Hand out cached batches instead of loading: the ceiling."""
    deadline_s: float = 30.0
    """No batch for this long after the swap means the trial failed."""
    abandon_below: float | None = None
    """Samples per second; a burst clearly below is ended early."""


class Release(msgspec.Struct, frozen=True, kw_only=True, tag="release"):
    """Order: stop conducting; let the script run on as if we were not there."""


Order = Measure | Release


class LoaderSite(msgspec.Struct, frozen=True, kw_only=True):
    """One place in the source that constructs loaders, and what is known about the loader under it."""

    file: str
    """Absolute path of the first frame outside torch's own data package."""
    line: int
    function: str = ""
    user_file: str = ""
    """First frame outside installed libraries; empty when it is the same frame."""
    user_line: int = 0
    loader_class: str = "DataLoader"
    dataset_class: str = ""
    dataset_length: int | None = None
    batches_per_epoch: int | None = None
    iterable: bool = False
    batch_size: int | None = None
    settings: Settings = Settings()
    start_method: str = ""
    role: str = "unknown"
    """``train``, ``validation``, ``inference`` or ``unknown`` (not iterated yet)."""
    batches: int = 0
    """Batches this site's loaders have handed out so far."""
    stages: list[PipelineStage] = []
    """Of a ``tf.data`` pipeline: its transformations, from the source to the end."""


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """A restriction on what may be tried with the training loader, and why."""

    setting: str
    allowed: list[int]
    """The only values allowed."""
    reason: str


class DataFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file or folder that the dataset names, as it was when the training loop began."""

    path: str
    """Absolute."""
    bytes: int
    modified_s: float
    """Seconds since 1970."""


class Knob(msgspec.Struct, frozen=True, kw_only=True):
    """A setting that the script declared with :func:`gputune.knob`."""

    name: str
    choices: list[bool | int | float | str]
    """The default first."""
    live: bool
    """Read while training: a value takes effect in the running process. Otherwise a trial needs a fresh one."""


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """What the target runs on, as seen from inside it."""

    pid: int
    python: str
    torch: str
    """Empty in a process without torch."""
    tensorflow: str = ""
    keras: str = ""
    device: str = "cpu"
    """``cpu``, ``cuda:0``, ...: where the script's work happens, as far as the agent can tell."""
    device_uuid: str = ""
    """UUID of the GPU used, as NVML spells it; empty without one."""
    device_name: str = ""
    start_method: str = "fork"
    accelerator: bool = False
    """Whether an accelerator is there, so that pinning memory can matter."""
    hot_swap: bool = True
    """False when the start-up self-test failed; then each trial needs a fresh process."""
    hot_swap_reason: str = ""
    ranks: int = 1
    """Ranks of the job on this machine that are measured together."""
    ranks_elsewhere: int = 0
    """Ranks of the job that are not: on other machines, or without a loader of their own."""


class Hello(msgspec.Struct, frozen=True, kw_only=True, tag="hello"):
    """Event: the agent has found the training loader and waits for orders."""

    protocol: int
    environment: Environment
    loader: LoaderSite
    """The loader that trains (or, in an inference script, the one that is consumed)."""
    loaders: list[LoaderSite]
    gates: list[Gate] = []
    knobs: list[Knob] = []
    modules: list[str] = []
    """Absolute paths of the script and of what it has imported from beside it or from the working directory."""
    data: list[DataFile] = []
    """Files and folders that the training dataset names."""
    startup_s: float = 0.0
    """From process start to the first batch."""


class Measured(msgspec.Struct, frozen=True, kw_only=True, tag="measured"):
    """Event: a burst is complete."""

    id: int
    burst: Burst
    loaders: list[LoaderSite] = []


class TrialFailed(msgspec.Struct, frozen=True, kw_only=True, tag="failed"):
    """Event: the settings could not run; the loop is back on its last good settings, no sample lost."""

    id: int
    infeasible: Infeasible


class Refused(msgspec.Struct, frozen=True, kw_only=True, tag="refused"):
    """Event: the order cannot be carried out in this process (no hot swap); start a fresh one with the settings."""

    id: int
    reason: str


class Progress(msgspec.Struct, frozen=True, kw_only=True, tag="progress"):
    """Event without an answer: something worth showing while waiting."""

    text: str


class Goodbye(msgspec.Struct, frozen=True, kw_only=True, tag="goodbye"):
    """Event: the script is ending by itself."""

    loaders: list[LoaderSite]
    conducted: bool
    """Whether a :class:`Hello` was sent before."""
    hotspots: list[Hotspot] = []
    """What the main thread did, by line, when it trained without any loader."""
    steps: int = 0
    """Optimiser steps taken meanwhile."""
    sampled_s: float = 0.0
    """For how long stacks were sampled."""


class Trouble(msgspec.Struct, frozen=True, kw_only=True, tag="trouble"):
    """Event: the agent could not attach or keep attached; the user's program runs on untouched."""

    reason: str


Event = Hello | Measured | TrialFailed | Refused | Progress | Goodbye | Trouble
