"""Applies stored settings to pipelines: ``gputune run``, and trials in fresh processes.

A dataset made at a configured line is built again once, with the settings, when it is first iterated, and the result
is iterated instead, pass after pass. Elements are handed out exactly as without us: nothing is on their way.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from gputune.probes.agent.apply import ApplyConfig, LoaderConfig
from gputune.probes.attach.wake import AfterImport
from gputune.probes.tensorflow import private, py_dataset, recipes
from gputune.probes.tensorflow.settings import PipelineSettings
from gputune.probes.tensorflow.sites import Sites

_THREADS = {"intra_op_threads": "TF_NUM_INTRAOP_THREADS", "inter_op_threads": "TF_NUM_INTEROP_THREADS"}
"""Setting -> the variable TensorFlow reads when it starts its thread pools."""


def set_threads(config: ApplyConfig) -> tuple[int, int]:
    """Set the thread counts of this process, which TensorFlow reads at its first operation; return them."""
    for loader in config.loaders:
        for name, variable in _THREADS.items():
            value = getattr(loader.settings.pipeline, name, None)
            if value:
                os.environ[variable] = str(value)
    wanted = [loader.settings.pipeline.process_wide for loader in config.loaders if loader.settings.pipeline]
    return wanted[0] if wanted else (0, 0)


class Applier:
    """Matches datasets with configured lines.

    Args:
        config: the settings to apply.
        quiet: do not talk about it.
    """

    def __init__(self, config: ApplyConfig, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._loaders = [loader for loader in config.loaders if loader.settings.pipeline is not None]
        self._sites = Sites()
        self._said: set[str] = set()

    def install(self, after_import: AfterImport) -> None:
        """Put the hooks in place: one on ``iter(dataset)``, one on Keras's adapter of a ``PyDataset``."""
        if not self._loaders:
            return
        datasets = private.module(private.DATASET_OPS).DatasetV2
        recipes.install(datasets)
        original = datasets.__iter__

        def __iter__(self: Any, applier: Applier = self) -> Any:
            return original(applier.applied(self) if private.executing_eagerly() else self)

        __iter__.__doc__ = original.__doc__
        datasets.__iter__ = __iter__
        after_import(private.PY_DATASET_ADAPTER, self._adapters)

    def _adapters(self, module: Any) -> None:
        py_dataset.install(module)
        kind: Any = module.PyDatasetAdapter
        original = kind.__init__

        def __init__(self: Any, *args: Any, applier: Applier = self, **kwargs: Any) -> None:
            original(self, *args, **kwargs)
            applier.adapted(self)

        __init__.__doc__ = original.__doc__
        kind.__init__ = __init__

    def applied(self, dataset: Any) -> Any:
        """Return the dataset to iterate instead."""
        if py_dataset.adapter_of(dataset) is not None:
            return dataset
        built = self._sites.built(dataset)
        site = self._sites.of(dataset, built)
        wanted = self._match(site.file, site.line, site.function)
        if wanted is None:
            self._say(site.file, site.line, "left the dataset at", "alone: no settings were recommended for this line")
            return dataset
        self._tell(site.file, site.line, built.own, wanted)
        return built.build(wanted)

    def adapted(self, adapter: Any) -> None:
        """Give a ``PyDataset``'s adapter its workers."""
        places = recipes.callers()
        place = places[0] if places else ("", 0, "", 0)
        wanted = self._match(*place[:3])
        if wanted is None or wanted.workers is None:
            self._say(place[0], place[1], "left the PyDataset at", "alone: no settings were recommended for this line")
            return
        self._tell(place[0], place[1], py_dataset.own_settings(adapter), wanted)
        py_dataset.set_workers(adapter, wanted)

    def _match(self, file: str, line: int, function: str) -> PipelineSettings | None:
        same_file = [found for found in self._loaders if _same_file(found.file, file)]
        exact = [found for found in same_file if found.line == line]
        moved = [found for found in same_file if found.function == function] if len(same_file) == 1 else []
        chosen: list[LoaderConfig] = exact or moved
        return chosen[0].settings.pipeline if chosen else None

    def _tell(self, file: str, line: int, own: PipelineSettings, wanted: PipelineSettings) -> None:
        before, after = own.values(), wanted.values()
        changed = {name: value for name, value in after.items() if before.get(name) != value}
        written = str(PipelineSettings(**changed)) or "nothing to change"
        self._say(file, line, "applied to the dataset at", written)

    def _say(self, file: str, line: int, what: str, text: str) -> None:
        key = f"{file}:{line} {what}"
        if not self._quiet and file and key not in self._said:
            self._said.add(key)
            relative = os.path.relpath(file)
            print(f"gputune: {what} {file if relative.startswith('..') else relative}:{line}: {text}", file=sys.stderr)


def _same_file(configured: str, actual: str) -> bool:
    return bool(actual) and os.path.realpath(configured) == os.path.realpath(actual)
