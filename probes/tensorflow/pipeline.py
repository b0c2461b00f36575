"""A ``tf.data`` pipeline whose settings can be read, and which can be built again with others."""

from __future__ import annotations

from typing import Any

from gputune.probes.tensorflow import private, recipes
from gputune.probes.tensorflow.recipes import Recipe
from gputune.probes.tensorflow.settings import AUTOTUNE, SEQUENTIAL, PipelineSettings, PipelineStage

_PARALLEL = {"map": "map_parallelism", "interleave": "interleave_parallelism", "batch": "batch_parallelism"}
_KEPT = frozenset({"cache", "snapshot"})
"""What comes before these is made once and then kept: changing it would fill the store again, or break its file."""
_PYTHON_OPERATIONS = frozenset({"PyFunc", "EagerPyFunc", "PyFuncStateless"})


class Pipeline:
    """One dataset that a loop iterates.

    Args:
        dataset: as the user's loop (or Keras) got it.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset
        self._chain = _chain(dataset)
        self.own = _own(self._chain, dataset)
        self._built: dict[PipelineSettings, Any] = {self.own: dataset}

    @property
    def stages(self) -> list[PipelineStage]:
        """Return the transformations from the source to the end."""
        return [_stage(made, recipe) for made, recipe in reversed(self._chain)]

    def build(self, settings: PipelineSettings) -> Any:
        """Return the dataset under other settings; with the user's own it is the user's dataset itself.

        The same settings give the same object, so that a shuffle goes on from epoch to epoch as it would have.
        """
        settings = settings.replace(intra_op_threads=None, inter_op_threads=None)
        if settings not in self._built:
            self._built[settings] = self._rebuilt(settings)
        return self._built[settings]

    def pass_ended(self) -> None:
        """Nothing to let go of: an iterator that is dropped ends its threads."""

    def _rebuilt(self, settings: PipelineSettings) -> Any:
        wanted = {name: value for name, value in settings.values().items() if value != getattr(self.own, name)}
        dataset = _again(self.dataset, wanted, last=True)
        options = _options(wanted)
        return dataset if options is None else dataset.with_options(options)


def _chain(dataset: Any) -> list[tuple[Any, Recipe]]:
    """Return the datasets and their recipes from the end of the pipeline towards its source."""
    found = []
    recipe = recipes.of(dataset)
    while recipe is not None:
        found.append((dataset, recipe))
        dataset = recipe.source
        recipe = recipes.of(dataset)
    return found


def _own(chain: list[tuple[Any, Recipe]], dataset: Any) -> PipelineSettings:
    """Return what the script says; values that stages do not agree on are left open."""
    seen: dict[str, set[int]] = {}
    values: dict[str, Any] = {"prefetch": _last_prefetch(chain)}
    for _, recipe in _changeable(chain):
        name = _PARALLEL.get(recipe.method)
        if name is not None and _may_change(recipe):
            seen.setdefault(name, set()).add(_parallelism(recipe) or SEQUENTIAL)
    values |= {name: found.pop() for name, found in seen.items() if len(found) == 1}
    options = dataset.options()
    if options.threading.private_threadpool_size is not None:
        values["private_threadpool_size"] = int(options.threading.private_threadpool_size)
    if options.autotune.enabled is not None:
        values["autotune"] = bool(options.autotune.enabled)
    if options.deterministic is not None:
        values["deterministic"] = bool(options.deterministic)
    return PipelineSettings(**values)


def _changeable(chain: list[tuple[Any, Recipe]]) -> list[tuple[Any, Recipe]]:
    kept = [index for index, (_, recipe) in enumerate(chain) if recipe.method in _KEPT]
    return chain[: kept[0]] if kept else chain


def _may_change(recipe: Recipe) -> bool:
    """Whether more calls at a time keep the order: an interleave's cycle must not follow its parallelism."""
    if recipe.method == "interleave":
        return recipe.arguments.get("cycle_length") not in (None, AUTOTUNE)
    return not recipe.arguments.get("synchronous")


def _parallelism(recipe: Recipe) -> int | None:
    return as_int(recipe.arguments.get("num_parallel_calls"))


def as_int(value: Any) -> int | None:
    """Return a number that may be a Python number, a NumPy scalar or a tensor."""
    return None if value is None else int(value)


def _last_prefetch(chain: list[tuple[Any, Recipe]]) -> int:
    for _, recipe in chain:
        if recipe.method == "prefetch":
            return _buffer(recipe)
        if recipe.method != "with_options":
            break
    return 0


def _buffer(recipe: Recipe) -> int:
    size = as_int(recipe.arguments.get("buffer_size"))
    return AUTOTUNE if size is None else size


def _again(dataset: Any, wanted: dict[str, Any], *, last: bool) -> Any:
    """Make a dataset again with the wanted values; unchanged parts are the very same objects.

    Args:
        dataset: what to make again.
        wanted: the values to change.
        last: nothing but options comes after it, so that a prefetch here is the pipeline's last.
    """
    recipe = recipes.of(dataset)
    ends = last and (recipe is None or recipe.method not in ("prefetch", "with_options"))
    if ends and "prefetch" in wanted:
        made = _again(dataset, {name: value for name, value in wanted.items() if name != "prefetch"}, last=False)
        return made.prefetch(wanted["prefetch"]) if wanted["prefetch"] else made
    if recipe is None or recipe.method in _KEPT:
        return dataset
    if last and recipe.method == "prefetch" and "prefetch" in wanted:
        rest = {name: value for name, value in wanted.items() if name != "prefetch"}
        source, size = _again(recipe.source, rest, last=False), wanted["prefetch"]
        return recipe.again(dataset, source, {**recipe.arguments, "buffer_size": size}) if size else source
    source = _again(recipe.source, wanted, last=last and recipe.method == "with_options")
    arguments = _changed(recipe, wanted)
    if source is recipe.source and arguments == recipe.arguments:
        return dataset
    return recipe.again(dataset, source, arguments)


def _changed(recipe: Recipe, wanted: dict[str, Any]) -> dict[str, Any]:
    name = _PARALLEL.get(recipe.method, "")
    if name not in wanted or not _may_change(recipe):
        return recipe.arguments
    calls = None if wanted[name] == SEQUENTIAL else wanted[name]
    if calls == _parallelism(recipe):
        return recipe.arguments
    arguments = {**recipe.arguments, "num_parallel_calls": calls}
    if calls is None:
        arguments.pop("deterministic", None)
        arguments.pop("use_unbounded_threadpool", None)
    return arguments


def _options(wanted: dict[str, Any]) -> Any:
    """Return ``tf.data.Options`` with the wanted values, ``None`` where there are none."""
    options, changed = private.module("tensorflow").data.Options(), False
    for name, (part, attribute, scale) in _OPTIONS.items():
        if name in wanted and not (scale and wanted[name] == 0):
            owner = getattr(options, part) if part else options
            setattr(owner, attribute, wanted[name] * scale if scale else wanted[name])
            changed = True
    return options if changed else None


_OPTIONS = {
    "deterministic": ("", "deterministic", 0),
    "private_threadpool_size": ("threading", "private_threadpool_size", 0),
    "autotune": ("autotune", "enabled", 0),
    "autotune_cpu_budget": ("autotune", "cpu_budget", 1),
    "autotune_ram_budget_mib": ("autotune", "ram_budget", 1 << 20),
}
"""Setting -> where it is in ``tf.data.Options``, and for a budget its unit (0 of which means TensorFlow's choice)."""


def _stage(made: Any, recipe: Recipe) -> PipelineStage:
    file, line, *_ = recipe.callers[0] if recipe.callers else ("", 0)
    function = recipe.arguments.get("map_func")
    buffer = _buffer(recipe) if recipe.method == "prefetch" else None
    return PipelineStage(
        operation=recipe.method,
        file=file,
        line=line,
        function=str(getattr(function, "__qualname__", "")),
        parallelism=buffer if recipe.method == "prefetch" else _parallelism(recipe),
        python=_calls_python(made),
    )


def _calls_python(made: Any) -> bool:
    """Whether a traced function calls back into Python, where its calls take turns."""
    graphs = [getattr(traced.function, "graph", None) for traced in made._functions()]
    return any(
        operation.type in _PYTHON_OPERATIONS for graph in graphs if graph for operation in graph.get_operations()
    )
