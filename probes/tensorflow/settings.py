"""What gputune may change about a ``tf.data`` pipeline or a Keras ``PyDataset``: values, their table, their wording."""

from __future__ import annotations

from typing import Any

import msgspec

AUTOTUNE = -1
"""``tf.data.AUTOTUNE``: TensorFlow chooses at run time."""
SEQUENTIAL = 1
"""``map`` without ``num_parallel_calls``: one element after the other, on the thread that asks."""


class PipelineSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One frozen set of pipeline settings; ``None`` leaves what the script says (or does not apply to it)."""

    map_parallelism: int | None = None
    interleave_parallelism: int | None = None
    batch_parallelism: int | None = None
    prefetch: int | None = None
    """Elements kept ready at the end of the pipeline; 0: none."""
    deterministic: bool | None = None
    private_threadpool_size: int | None = None
    """Threads of the pipeline's own; 0: those it shares with the model."""
    autotune: bool | None = None
    autotune_cpu_budget: int | None = None
    autotune_ram_budget_mib: int | None = None
    intra_op_threads: int | None = None
    inter_op_threads: int | None = None
    """Threads of the whole process (0: TensorFlow's choice); only a fresh process can change them."""
    workers: int | None = None
    use_multiprocessing: bool | None = None
    max_queue_size: int | None = None

    def values(self) -> dict[str, Any]:
        """Return the values that are set, by name, in the order of the table."""
        return {name: value for name in PIPELINE_SETTINGS if (value := getattr(self, name)) is not None}

    def replace(self, **changes: Any) -> PipelineSettings:
        """Return these settings with some values changed."""
        return msgspec.structs.replace(self, **changes)

    @property
    def process_wide(self) -> tuple[int, int]:
        """Return the settings a running process cannot change: intra-op and inter-op threads."""
        return self.intra_op_threads or 0, self.inter_op_threads or 0

    def shown(self) -> dict[str, str]:
        """Return the values that are set as they are written in a script."""
        return {name: shown(value) for name, value in self.values().items()}

    def __str__(self) -> str:
        return " ".join(f"{name}={value}" for name, value in self.shown().items())


class PipelineStage(msgspec.Struct, frozen=True, kw_only=True):
    """One transformation of a pipeline, from the source to the end: ``map`` at ``train.py:14``."""

    operation: str
    file: str = ""
    line: int = 0
    function: str = ""
    """What it maps with, as the user called it."""
    parallelism: int | None = None
    """Parallel calls of a map, an interleave or a batch; of a prefetch its buffer."""
    python: bool = False
    """It calls Python code (``py_function``, ``numpy_function``, ``from_generator``)."""


class StageUse(msgspec.Struct, frozen=True, kw_only=True):
    """What one transformation did in a burst, as TensorFlow's own model of the pipeline counted it."""

    name: str
    """As TensorFlow names it after optimising the graph: ``MapAndBatch``."""
    busy_s: float
    """Thread seconds spent in it, inputs not included."""
    elements: int
    chosen: dict[str, int] = {}
    """What AUTOTUNE had chosen at the end: parallelism, buffer sizes."""


class PipelineSetting(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table."""

    name: str
    kind: type
    choices: tuple[Any, ...]
    summary: str
    semantic: bool = False
    """Changes what the model sees; searched only with ``--allow``."""
    asked: bool = False
    """Tried only when named with ``--set`` or ``--fix``."""
    lowest: int = 0

    def parse(self, text: str) -> Any:
        """Return the value that ``text`` from a command line stands for.

        Raises:
            ValueError: with the rule, when the text is no value of this setting.
        """
        word = text.strip().lower()
        if self.kind is bool:
            words = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False}
            if word not in (words := words | {"off": False}):
                raise ValueError(f"{self.name} takes true or false, not {text!r}")
            return words[word]
        if word == "autotune" and AUTOTUNE in self.choices:
            return AUTOTUNE
        takes = f"{self.name} takes {self.lowest} to 1048576" + (" or AUTOTUNE" if AUTOTUNE in self.choices else "")
        try:
            value = int(word)
        except ValueError:
            raise ValueError(f"{takes}, not {text!r}") from None
        if not self.lowest <= value <= 1 << 20:
            raise ValueError(f"{takes}, not {value}")
        return value


_CALLS = (SEQUENTIAL, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, AUTOTUNE)
_TABLE = (
    PipelineSetting(
        name="map_parallelism", kind=int, choices=_CALLS, lowest=1, summary="elements that map works on at a time"
    ),
    PipelineSetting(
        name="interleave_parallelism", kind=int, choices=_CALLS, lowest=1, summary="files interleave reads at a time"
    ),
    PipelineSetting(
        name="batch_parallelism", kind=int, choices=_CALLS, lowest=1, summary="batches put together at a time"
    ),
    PipelineSetting(
        name="prefetch", kind=int, choices=(0, 1, 2, 4, 8, AUTOTUNE), summary="batches kept ready for the training loop"
    ),
    PipelineSetting(
        name="workers", kind=int, choices=(1, 2, 3, 4, 6, 8, 12, 16), lowest=1, summary="workers of a PyDataset"
    ),
    PipelineSetting(
        name="use_multiprocessing", kind=bool, choices=(False, True),
        summary="a PyDataset's workers are processes instead of threads",
    ),
    PipelineSetting(
        name="max_queue_size", kind=int, choices=(2, 10, 20), lowest=1, summary="batches its workers keep ready"
    ),
    PipelineSetting(
        name="private_threadpool_size", kind=int, choices=(0, 1, 2, 4, 8, 16), asked=True,
        summary="threads of the pipeline's own; 0 shares the model's",
    ),
    PipelineSetting(
        name="autotune", kind=bool, choices=(True, False), asked=True, summary="let TensorFlow tune AUTOTUNE values"
    ),
    PipelineSetting(
        name="autotune_cpu_budget", kind=int, choices=(0, 1, 2, 4, 8, 16), asked=True,
        summary="cores AUTOTUNE may plan with; 0 is all",
    ),
    PipelineSetting(
        name="autotune_ram_budget_mib", kind=int, choices=(0, 256, 1024, 4096), asked=True,
        summary="memory AUTOTUNE may plan with, MiB; 0 is half of what is free",
    ),
    PipelineSetting(
        name="intra_op_threads", kind=int, choices=(0, 1, 2, 4, 8), asked=True,
        summary="threads of one operation of the model, in a fresh process each",
    ),
    PipelineSetting(
        name="inter_op_threads", kind=int, choices=(0, 1, 2, 4, 8), asked=True,
        summary="operations of the model at a time, in a fresh process each",
    ),
    PipelineSetting(
        name="deterministic", kind=bool, choices=(True, False), semantic=True,
        summary="hand out elements in the order of the source",
    ),
)  # fmt: skip
PIPELINE_SETTINGS: dict[str, PipelineSetting] = {setting.name: setting for setting in _TABLE}
"""Every setting by name, in the order reports show them."""


def shown(value: Any) -> str:
    """Return a value as it is written in a script."""
    return "AUTOTUNE" if value == AUTOTUNE and value is not True else str(value)
