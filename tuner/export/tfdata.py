"""What to write into a ``tf.data`` pipeline, by file and line, and the code for its end."""

from __future__ import annotations

from gputune import config
from gputune.errors import InconclusiveError
from gputune.probes.protocol import LoaderSite
from gputune.probes.tensorflow.settings import AUTOTUNE, SEQUENTIAL, PipelineSettings, PipelineStage
from gputune.record import Run

PARALLEL = {"map": "map_parallelism", "interleave": "interleave_parallelism", "batch": "batch_parallelism"}
_OPTIONS = {
    "deterministic": "options.deterministic = {}",
    "private_threadpool_size": "options.threading.private_threadpool_size = {}",
    "autotune": "options.autotune.enabled = {}",
    "autotune_cpu_budget": "options.autotune.cpu_budget = {}",
    "autotune_ram_budget_mib": "options.autotune.ram_budget = {} << 20",
}
_THREADS = {
    "intra_op_threads": "tf.config.threading.set_intra_op_parallelism_threads({})",
    "inter_op_threads": "tf.config.threading.set_inter_op_parallelism_threads({})",
}
KEPT = ("cache", "snapshot")


def render(run: Run) -> str:
    """Return Python that runs as it stands: comments say which calls to edit, a function finishes the pipeline.

    Raises:
        InconclusiveError: nothing is recommended, or for something else than a ``tf.data`` pipeline.
    """
    config.from_run(run)
    wanted, own, site = proved(run)
    if wanted.workers is not None:
        raise InconclusiveError(
            f"run {run.id} tuned the workers of a PyDataset, not a tf.data pipeline",
            f"gputune export {run.id} --format keras",
        )
    changed = {name: value for name, value in wanted.values().items() if getattr(own, name) != value}
    lines = ["# Proved by gputune. In your source:"]
    lines += [f"#   {edit}" for edit in edits(site, changed)]
    lines += [
        f"#   at the start of the script: {_THREADS[name].format(changed[name])}"
        for name in _THREADS
        if name in changed
    ]
    return "\n".join([*lines, *_finish(changed)]) + "\n"


def proved(run: Run) -> tuple[PipelineSettings, PipelineSettings, LoaderSite]:
    """Return the recommended settings, the user's own, and where the pipeline is made.

    Raises:
        InconclusiveError: the run recommends nothing for TensorFlow.
    """
    wanted = run.recommendation.settings.pipeline if run.recommendation else None
    own = run.loader.settings.pipeline if run.loader else None
    if wanted is None or own is None or run.loader is None:
        raise InconclusiveError(
            f"run {run.id} tuned a torch DataLoader, not TensorFlow", f"gputune export {run.id} --format python"
        )
    return wanted, own, run.loader


def edits(site: LoaderSite, changed: dict[str, int]) -> list[str]:
    """Return one line for each call to edit: its place and the call with its new argument."""
    found = []
    kept = [index for index, stage in enumerate(site.stages) if stage.operation in KEPT]
    for stage in site.stages[kept[-1] + 1 if kept else 0 :]:
        name = PARALLEL.get(stage.operation, "")
        if name in changed and (stage.parallelism or SEQUENTIAL) != changed[name]:
            found.append(f"{_place(stage)}  .{stage.operation}(..., num_parallel_calls={_calls(changed[name])})")
    if "prefetch" in changed:
        last = next((stage for stage in reversed(site.stages) if stage.operation != "with_options"), None)
        replaced = last is not None and last.operation == "prefetch"
        where = _place(last) if last is not None else f"{_line_free(site.file)}:{site.line}"
        what = "replace this prefetch by" if replaced else "after it"
        found.append(f"{where}  {what} .prefetch({_value(changed['prefetch'])})")
    return found


def _finish(changed: dict[str, int]) -> list[str]:
    options = [f"    {text.format(changed[name])}" for name, text in _OPTIONS.items() if name in changed]
    if not options:
        return []
    return [
        "import tensorflow as tf",
        "",
        "",
        "def with_proved_options(dataset):",
        '    """Return the dataset with these options: call it on the finished pipeline."""',
        "    options = tf.data.Options()",
        *options,
        "    return dataset.with_options(options)",
    ]


def _calls(value: int) -> str:
    """One at a time is what a call without the argument does; with 1 it would use a thread of its own."""
    return "None" if value == SEQUENTIAL else _value(value)


def _value(value: int) -> str:
    return "tf.data.AUTOTUNE" if value == AUTOTUNE else str(value)


def _place(stage: PipelineStage) -> str:
    place = f"{_line_free(stage.file)}:{stage.line}" if stage.file else "inside Keras"
    return f"{place} ({_line_free(stage.function)})" if stage.function else place


def _line_free(text: str) -> str:
    """Keep a path with a line break in it inside its comment."""
    return text.replace("\r", "\\r").replace("\n", "\\n")
