"""Where a ``tf.data`` pipeline spends its time, and what AUTOTUNE chose. Pure functions of stored bursts."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from gputune.probes.burst import Burst
from gputune.probes.protocol import LoaderSite
from gputune.probes.tensorflow.settings import PipelineStage, StageUse

_NODES = {
    "map": ("Map", "ParallelMap", "MapAndBatch"),
    "interleave": ("Interleave", "ParallelInterleave"),
    "batch": ("Batch", "ParallelBatch", "PaddedBatch"),
    "prefetch": ("Prefetch",),
    "shuffle": ("Shuffle", "ShuffleAndRepeat"),
    "filter": ("Filter",),
    "flat_map": ("FlatMap",),
}
"""Transformation -> how TensorFlow names it once it has optimised the graph."""


class Used(msgspec.Struct, frozen=True, kw_only=True):
    """One transformation of a running pipeline."""

    name: str
    place: str
    """``load at train.py:14``; empty where it cannot be told which line made it."""
    share: float
    """Part of all thread time spent in the pipeline."""
    per_element_s: float
    chosen: dict[str, int]


def of(burst: Burst | None, site: LoaderSite | None) -> list[Used]:
    """Return the transformations of a burst, from the source to the end; empty where TensorFlow kept no model."""
    uses = burst.stages if burst is not None else []
    total_s = sum(use.busy_s for use in uses)
    if total_s <= 0:
        return []
    places = _places(uses, site.stages if site else [])
    return [
        Used(
            name=use.name,
            place=places.get(index, ""),
            share=use.busy_s / total_s,
            per_element_s=use.busy_s / use.elements if use.elements else 0.0,
            chosen=use.chosen,
        )
        for index, use in enumerate(uses)
    ]


def costliest(burst: Burst | None, site: LoaderSite | None) -> Used | None:
    """Return the transformation that takes most, ``None`` where it is not known."""
    return max(of(burst, site), key=lambda used: used.share, default=None)


def _places(uses: Sequence[StageUse], stages: Sequence[PipelineStage]) -> dict[int, str]:
    """Return the place of each use; where the counts of a kind differ, its lines cannot be told apart."""
    found: dict[int, str] = {}
    for operation, names in _NODES.items():
        here = [index for index, use in enumerate(uses) if _base(use.name) in names]
        made = [stage for stage in stages if stage.operation == operation]
        if len(here) == len(made):
            found |= {index: described(stage) for index, stage in zip(here, made, strict=True)}
    return found


def _base(name: str) -> str:
    """Return a node's name without its version: ``ParallelMapV2`` is ``ParallelMap``."""
    stem, separator, version = name.rpartition("V")
    return stem if separator and version.isdigit() else name


def described(stage: PipelineStage) -> str:
    """Return ``load at data/train.py:14``, as far as it is known."""
    file = "/".join(stage.file.split("/")[-2:])
    at = f" at {file}:{stage.line}" if file else ""
    name = stage.function.replace("<locals>.", "")
    return f"{name or stage.operation}{at}"
