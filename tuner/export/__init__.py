"""One export format a file, each a function of a stored :class:`gputune.record.Run`.

``render(run) -> str`` raises :class:`gputune.errors.InconclusiveError` when the run recommends nothing;
formats that carry measurements instead of settings (markdown, github-benchmark, bencher) work for every
measured run.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

import msgspec

from gputune.errors import InconclusiveError
from gputune.record import Run

_TORCH = frozenset({"python", "huggingface", "lightning", "hydra", "env"})
"""Formats that spell DataLoader's arguments."""


class Format(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table of export formats."""

    name: str
    module: str
    suffix: str
    summary: str

    def render(self, run: Run) -> str:
        """Return the export as text.

        Raises:
            InconclusiveError: the run has nothing to export in this format.
        """
        if self.name in _TORCH and run.recommendation and run.recommendation.settings.pipeline:
            raise InconclusiveError(
                f"run {run.id} tuned TensorFlow; --format {self.name} is for torch's DataLoader",
                f"gputune export {run.id} --format tfdata (or keras, patch, yaml, json, toml)",
            )
        renderer: Callable[[Run], str] = import_module(f"gputune.export.{self.module}").render
        return renderer(run)


_TABLE = (
    Format(name="yaml", module="yaml", suffix=".yaml", summary="configuration that gputune run reads back"),
    Format(name="json", module="json", suffix=".json", summary="the same as JSON"),
    Format(name="toml", module="toml", suffix=".toml", summary="the same as TOML"),
    Format(name="python", module="python", suffix=".py", summary="DataLoader keyword arguments, by line"),
    Format(name="patch", module="patch", suffix=".patch", summary="a diff that git apply accepts"),
    Format(name="huggingface", module="huggingface", suffix=".txt", summary="Trainer arguments, flags, JSON"),
    Format(name="lightning", module="lightning", suffix=".py", summary="arguments for a LightningDataModule"),
    Format(name="hydra", module="hydra", suffix=".txt", summary="override string and YAML fragment"),
    Format(name="tfdata", module="tfdata", suffix=".py", summary="what to write into a tf.data pipeline, by line"),
    Format(name="keras", module="keras", suffix=".py", summary="arguments of a Keras PyDataset (else as tfdata)"),
    Format(name="env", module="env", suffix=".env", summary="environment variables, one a line"),
    Format(name="markdown", module="markdown", suffix=".md", summary="the report for a pull request"),
    Format(
        name="github-benchmark", module="github_benchmark", suffix=".json",
        summary="feed of github-action-benchmark (customBiggerIsBetter)",
    ),
    Format(name="bencher", module="bencher", suffix=".json", summary="Bencher Metric Format"),
)  # fmt: skip
FORMATS: dict[str, Format] = {row.name: row for row in _TABLE}
"""Every export format by name, in the order help shows them."""
