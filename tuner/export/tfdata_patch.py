"""The edits of a ``tf.data`` pipeline as a diff, where literal arguments of calls in one file say it all."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import NamedTuple

from gputune.errors import InconclusiveError
from gputune.export import tfdata
from gputune.export.callsite import Source
from gputune.probes.protocol import LoaderSite
from gputune.probes.tensorflow.settings import AUTOTUNE, SEQUENTIAL, PipelineStage
from gputune.record import Run

BY_HAND = "see what to write where: gputune export --format tfdata"
_POSITIONS = {"map": 1, "interleave": 3, "batch": 2, "prefetch": 0}
"""Where a call takes its parallelism (or its buffer) without a keyword."""


class Edit(NamedTuple):
    """Bytes to put in the place of others."""

    start: int
    end: int
    text: str


def edited(run: Run, data: bytes, path: Path) -> bytes:
    """Return the text of a file with the recommended values in its calls.

    Args:
        run: one that recommends settings for a pipeline.
        data: the text of the file that makes the pipeline.
        path: where it lies.

    Raises:
        InconclusiveError: a value cannot be written as a literal of a call in this file; the message says which.
    """
    wanted, own, site = tfdata.proved(run)
    changed = {name: value for name, value in wanted.values().items() if getattr(own, name) != value}
    _refuse_others(changed)
    source = Source(data, path.name)
    found = [edit for stage in _changeable(site) for edit in _parallel(source, stage, changed, path)]
    if "prefetch" in changed:
        found.append(_prefetch(source, site, changed["prefetch"], path))
    for edit in sorted(found, reverse=True):
        data = data[: edit.start] + edit.text.encode() + data[edit.end :]
    return data


def _refuse_others(changed: dict[str, int]) -> None:
    others = [name for name in changed if name not in (*tfdata.PARALLEL.values(), "prefetch")]
    if others:
        raise InconclusiveError(
            f"{', '.join(others)} cannot be written as an argument of a call in the pipeline, and the gain was proved "
            "with all of them",
            BY_HAND,
        )


def _changeable(site: LoaderSite) -> list[PipelineStage]:
    kept = [index for index, stage in enumerate(site.stages) if stage.operation in tfdata.KEPT]
    return list(site.stages[kept[-1] + 1 if kept else 0 :])


def _parallel(source: Source, stage: PipelineStage, changed: dict[str, int], path: Path) -> list[Edit]:
    value = changed.get(tfdata.PARALLEL.get(stage.operation, ""))
    if value is None or (stage.parallelism or SEQUENTIAL) == value:
        return []
    call = _call(source, stage, path)
    text = "None" if value == SEQUENTIAL else _value(source, value)
    given = _given(call, stage.operation, "num_parallel_calls")
    if given is not None:
        return [_replacing(source, given, text)]
    last = [*call.args, *(keyword.value for keyword in call.keywords)][-1]
    end = source.end(last)
    return [Edit(end, end, f", num_parallel_calls={text}")]


def _prefetch(source: Source, site: LoaderSite, value: int, path: Path) -> Edit:
    last = next((stage for stage in reversed(site.stages) if stage.operation != "with_options"), None)
    if last is None:
        raise InconclusiveError(f"{site.file}:{site.line} has no call to put a prefetch after", BY_HAND)
    call = _call(source, last, path)
    if last.operation != "prefetch":
        end = source.end(call)
        return Edit(end, end, f".prefetch({_value(source, value)})")
    given = _given(call, "prefetch", "buffer_size")
    if given is None or value == 0:
        raise InconclusiveError(f"{last.file}:{last.line} prefetches in a way that is not edited", BY_HAND)
    return _replacing(source, given, _value(source, value))


def _call(source: Source, stage: PipelineStage, path: Path) -> ast.Call:
    """Return the one call of a stage; its line is that of the method's name."""
    if Path(stage.file) != path:
        raise InconclusiveError(f"{stage.operation} is called in another file, {stage.file or 'of a library'}", BY_HAND)
    calls = [
        node
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == stage.operation
    ]
    here = [call for call in calls if (call.func.end_lineno or 0) == stage.line]
    if len(here) != 1 or any(isinstance(argument, ast.Starred) for argument in here[0].args):
        raise InconclusiveError(f"{stage.file}:{stage.line} has no single plain call of {stage.operation}", BY_HAND)
    if any(keyword.arg is None for keyword in here[0].keywords):
        raise InconclusiveError(f"{stage.file}:{stage.line} takes its arguments from a mapping", BY_HAND)
    return here[0]


def _given(call: ast.Call, operation: str, name: str) -> ast.expr | None:
    for keyword in call.keywords:
        if keyword.arg == name:
            return keyword.value
    position = _POSITIONS[operation]
    return call.args[position] if len(call.args) > position else None


def _replacing(source: Source, given: ast.expr, text: str) -> Edit:
    literal = isinstance(given, (ast.Constant, ast.UnaryOp)) or source.slice(given).endswith("AUTOTUNE")
    if not literal:
        raise InconclusiveError(f"{source.name}:{given.lineno} takes its value from {source.slice(given)}", BY_HAND)
    return Edit(source.start(given), source.end(given), text)


def _value(source: Source, value: int) -> str:
    """Return a number, AUTOTUNE by the name under which this file knows TensorFlow."""
    if value != AUTOTUNE:
        return str(value)
    for node in ast.walk(source.tree):
        for alias in node.names if isinstance(node, ast.Import) else ():
            if alias.name == "tensorflow":
                return f"{alias.asname or alias.name}.data.AUTOTUNE"
    return str(AUTOTUNE)
