"""Every dataset a loop iterates is known by the line of the user's that made it."""

from __future__ import annotations

from typing import Any, Protocol

from gputune.probes.agent.sites import Site
from gputune.probes.protocol import LoaderSite
from gputune.probes.settings import Settings
from gputune.probes.tensorflow import recipes
from gputune.probes.tensorflow.pipeline import Pipeline, as_int
from gputune.probes.tensorflow.py_dataset import PyDatasetPipeline, adapter_of
from gputune.probes.tensorflow.recipes import Place
from gputune.probes.tensorflow.settings import PipelineSettings, PipelineStage

Key = tuple[Place, ...]


class Built(Protocol):
    """What can be built again under other settings: a ``tf.data`` pipeline or a Keras ``PyDataset``."""

    own: PipelineSettings

    @property
    def stages(self) -> list[PipelineStage]:
        """Return its transformations, from the source to the end."""
        ...

    def build(self, settings: PipelineSettings) -> Any:
        """Return the dataset to iterate under other settings."""
        ...

    def pass_ended(self) -> None:
        """The loop has all batches of a pass, whatever is still under way."""
        ...


class Sites:
    """All places in this process whose datasets were iterated.

    Args:
        threads: intra-op and inter-op threads set for this process (0: TensorFlow's choice).
    """

    def __init__(self, threads: tuple[int, int] = (0, 0)) -> None:
        self._threads = threads
        self._sites: dict[Key, Site] = {}
        self._built: dict[int, tuple[Any, Built]] = {}

    def built(self, dataset: Any) -> Built:
        """Return the pipeline of a dataset; the same for each pass over the same object."""
        known = self._built.get(id(dataset))
        if known is None or known[0] is not dataset:
            adapter = adapter_of(dataset)
            made: Built = Pipeline(dataset) if adapter is None else PyDatasetPipeline(adapter, dataset)
            # The dataset is held: an id may not be given to another one while it stands for this one.
            known = self._built[id(dataset)] = (dataset, made)
        return known[1]

    def of(self, dataset: Any, built: Built) -> Site:
        """Return the site of a dataset that is being iterated."""
        places = _made_at(dataset) or recipes.callers()
        found = self._sites.get(places)
        if found is None:
            (file, line, function, _), outer = places[0] if places else ("", 0, "", 0), places[-1:]
            user_file, user_line = (outer[0][0], outer[0][1]) if outer and len(places) > 1 else ("", 0)
            found = self._sites[places] = Site(file, line, function, user_file, user_line)
        found.facts = self._facts(dataset, built)
        return found

    def _facts(self, dataset: Any, built: Built) -> dict[str, Any]:
        adapter = adapter_of(dataset)
        length = length_of(dataset)
        source = type(adapter.py_dataset).__qualname__ if adapter is not None else _source(dataset)
        return {
            "loader_class": "PyDataset" if adapter is not None else "Dataset",
            "dataset_class": source,
            "batches_per_epoch": length,
            "batch_size": _batch_size(dataset),
            "settings": Settings(tensorflow=with_threads(built.own, self._threads)),
            "stages": built.stages,
        }

    def records(self) -> list[LoaderSite]:
        """Return every site's description."""
        return [site.record() for site in self._sites.values()]


def with_threads(own: PipelineSettings, threads: tuple[int, int]) -> PipelineSettings:
    """Return settings with the thread counts of the process, where they are not TensorFlow's choice."""
    return own.replace(intra_op_threads=threads[0] or None, inter_op_threads=threads[1] or None)


def length_of(dataset: Any) -> int | None:
    """Return the elements of one pass, ``None`` when endless or unknown."""
    adapter = adapter_of(dataset)
    if adapter is not None:
        return as_int(adapter.num_batches)
    length = int(dataset.cardinality())
    return length if length >= 0 else None


def _made_at(dataset: Any) -> Key:
    """Return where the last transformation that the user wrote was called."""
    recipe = recipes.of(dataset)
    while recipe is not None:
        if recipe.callers:
            return recipe.callers
        recipe = recipes.of(recipe.source)
    return ()


def _source(dataset: Any) -> str:
    """Return the kind of dataset the pipeline starts with, as TensorFlow names it."""
    recipe = recipes.of(dataset)
    while recipe is not None:
        dataset = recipe.source
        recipe = recipes.of(dataset)
    return type(dataset).__name__.strip("_").removesuffix("V2")


def _batch_size(dataset: Any) -> int | None:
    recipe = recipes.of(dataset)
    while recipe is not None:
        if recipe.method in ("batch", "padded_batch", "ragged_batch"):
            return as_int(recipe.arguments.get("batch_size"))
        recipe = recipes.of(recipe.source)
    return None
