"""What gputune may change about a training run: :class:`Settings` and the table that describes each setting.

Adding a setting is adding a field, an entry in :data:`SETTINGS` and an applier in the agent.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, Literal

import msgspec

from gputune.probes.tensorflow.settings import PipelineSettings

DEFAULT_PREFETCH_FACTOR = 2
"""What torch uses when ``prefetch_factor`` is not given and ``num_workers > 0``."""

NEED_WORKERS = ("prefetch_factor", "persistent_workers", "in_order")
"""Settings that mean something only with ``num_workers > 0``."""


class Safety(Enum):
    """What changing a setting may do to the training run."""

    SAFE = "safe"
    """Identical batches in identical order for map-style data."""
    GATED = "gated"
    """Safe only after a check of the dataset (open handles, unsharded iterable)."""
    ORDER = "order"
    """Same samples, another shuffle order from the second epoch on at a fixed seed."""
    SEMANTIC = "semantic"
    """Changes what the model sees; searched only when the user asks with ``--allow``."""


class Scope(Enum):
    """What a setting belongs to."""

    LOADER = "loader"
    """One construction site of loaders; a keyword argument of ``DataLoader``."""
    PROCESS = "process"
    """The training process: a part of ``gputune.probes.runtime`` that is switched on in it."""


AsyncCheckpoint = Literal["off", "thread", "process"]
"""Where checkpoints are written: by the training thread, or behind it by a thread or a process of ours."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One frozen set of settings.

    Build it through :meth:`make`, which brings dependent values into the only form torch accepts.
    """

    num_workers: int = 0
    prefetch_factor: int | None = None
    """Batches each worker keeps ready; ``None`` exactly when ``num_workers`` is 0."""
    pin_memory: bool = False
    persistent_workers: bool = False
    in_order: bool = True
    async_checkpoint: AsyncCheckpoint = "off"
    async_logging: bool = False
    knobs: tuple[tuple[str, bool | int | float | str], ...] | msgspec.UnsetType = msgspec.UNSET
    """Values of the script's own knobs (:func:`gputune.knob`) that are not at their defaults, by name."""
    tensorflow: PipelineSettings | msgspec.UnsetType = msgspec.UNSET
    """Of a ``tf.data`` pipeline or a Keras ``PyDataset``, to which the others do not apply; not stored where unset."""

    @property
    def pipeline(self) -> PipelineSettings | None:
        """The settings of a pipeline, ``None`` for a torch loader."""
        return None if self.tensorflow is msgspec.UNSET else self.tensorflow

    @classmethod
    def make(cls, **values: Any) -> Settings:
        """Return valid settings: prefetch and persistence need workers, workers need a prefetch factor."""
        workers = int(values.get("num_workers", 0))
        if workers == 0:
            values.update(prefetch_factor=None, persistent_workers=False, in_order=True)
        elif values.get("prefetch_factor") is None:
            values["prefetch_factor"] = DEFAULT_PREFETCH_FACTOR
        knobs = values.pop("knobs", ()) or ()
        return cls(**values, knobs=tuple(sorted(knobs)) if knobs else msgspec.UNSET)

    @property
    def knob_values(self) -> dict[str, bool | int | float | str]:
        """Values of knobs that are not at their defaults."""
        return dict(self.knobs or ())

    def replace(self, **changes: Any) -> Settings:
        """Return these settings with some values changed, valid again."""
        return Settings.make(**{**msgspec.structs.asdict(self), **changes})

    def differences(self, other: Settings) -> dict[str, tuple[Any, Any]]:
        """Return ``{name: (mine, theirs)}`` for every value that differs; a knob at its default is ``None``."""
        mine, theirs = self._flat(), other._flat()
        names = dict.fromkeys([*mine, *theirs])
        return {name: (mine.get(name), theirs.get(name)) for name in names if mine.get(name) != theirs.get(name)}

    def _flat(self) -> dict[str, Any]:
        values = msgspec.structs.asdict(self)
        knobs = values.pop("knobs") or ()
        values.pop("tensorflow")
        return {**values, **dict(knobs), **(self.pipeline.values() if self.pipeline else {})}

    def dataloader_kwargs(self) -> dict[str, Any]:
        """Return keyword arguments ``torch.utils.data.DataLoader`` accepts; defaults torch rejects are dropped."""
        kwargs: dict[str, Any] = {"num_workers": self.num_workers, "pin_memory": self.pin_memory}
        if self.num_workers:
            kwargs["prefetch_factor"] = self.prefetch_factor
            kwargs["persistent_workers"] = self.persistent_workers
            if not self.in_order:
                kwargs["in_order"] = False
        return kwargs

    def loader_only(self) -> Settings:
        """Return these settings with everything process-wide off."""
        off = {name: row.choices[0] for name, row in SETTINGS.items() if row.scope is Scope.PROCESS}
        return self.replace(**off)

    def process_wide(self) -> dict[str, Any]:
        """Return what is switched on in the training process itself, by name; empty when nothing is."""
        values = {name: getattr(self, name) for name, row in SETTINGS.items() if row.scope is Scope.PROCESS}
        return {name: value for name, value in values.items() if value != SETTINGS[name].choices[0]}

    def __str__(self) -> str:
        loader = self.dataloader_kwargs() if self.pipeline is None else self.pipeline.shown()
        values = {**loader, **self.process_wide(), **self.knob_values}
        return " ".join(f"{name}={value}" for name, value in values.items())


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table of settings."""

    name: str
    kind: type
    choices: tuple[Any, ...]
    """Values the search considers; the machine's limits cut this further. The first of a process-wide one is off."""
    safety: Safety
    summary: str
    needs_accelerator: bool = False
    scope: Scope = Scope.LOADER

    def parse(self, text: str) -> Any:
        """Return the value that ``text`` from a command line or file stands for.

        Raises:
            ValueError: with the rule, when the text is no value of this setting.
        """
        if self.kind is bool:
            words = {"true": True, "1": True, "yes": True, "on": True}
            words |= {"false": False, "0": False, "no": False, "off": False}
            if text.strip().lower() not in words:
                raise ValueError(f"{self.name} takes true or false, not {text!r}")
            return words[text.strip().lower()]
        if self.kind is str:
            word = {"on": self.choices[1], "true": self.choices[1], "false": "off"}.get(text.strip().lower())
            if (word or text) not in self.choices:
                raise ValueError(f"{self.name} takes {', '.join(self.choices)} or on, not {text!r}")
            return word or text
        try:
            value = int(text)
        except ValueError:
            raise ValueError(f"{self.name} takes a whole number, not {text!r}") from None
        lowest = 0 if self.name == "num_workers" else 1
        if not lowest <= value <= 1024:
            raise ValueError(f"{self.name} takes {lowest} to 1024, not {value}")
        return value


_TABLE = (
    Setting(
        name="num_workers",
        kind=int,
        choices=(0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64),
        safety=Safety.GATED,
        summary="loader worker processes; 0 loads on the training thread",
    ),
    Setting(
        name="prefetch_factor",
        kind=int,
        choices=(1, 2, 4, 8, 16),
        safety=Safety.SAFE,
        summary="batches each worker keeps ready",
    ),
    Setting(
        name="pin_memory",
        kind=bool,
        choices=(False, True),
        needs_accelerator=True,
        safety=Safety.SAFE,
        summary="copy batches into page-locked memory for faster transfers",
    ),
    Setting(
        name="persistent_workers",
        kind=bool,
        choices=(False, True),
        safety=Safety.ORDER,
        summary="keep workers alive between epochs",
    ),
    Setting(
        name="in_order",
        kind=bool,
        choices=(True, False),
        safety=Safety.SEMANTIC,
        summary="hand out batches in the sampler's order",
    ),
    Setting(
        name="async_checkpoint",
        kind=str,
        choices=("off", "thread", "process"),
        safety=Safety.SAFE,
        summary="torch.save returns once the state is copied; a thread or a process writes the same bytes",
        scope=Scope.PROCESS,
    ),
    Setting(
        name="async_logging",
        kind=bool,
        choices=(False, True),
        safety=Safety.SAFE,
        summary="SummaryWriter and slow logging handlers work behind the training thread",
        scope=Scope.PROCESS,
    ),
)
SETTINGS: dict[str, Setting] = {setting.name: setting for setting in _TABLE}
"""Every setting by name, in the order reports show them."""
