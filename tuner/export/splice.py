"""Write settings into the text of one call without touching anything else. Pure."""

from __future__ import annotations

import ast

import msgspec

from gputune.export import callsite
from gputune.export.callsite import Source
from gputune.probes.settings import DEFAULT_PREFETCH_FACTOR, NEED_WORKERS, SETTINGS, Scope, Settings

TORCH_DEFAULTS = {"num_workers": 0, "pin_memory": False, "persistent_workers": False, "in_order": True}


class Plan(msgspec.Struct, frozen=True):
    """What an edit of a call does and what it cannot do."""

    replace: dict[str, ast.expr]
    """Literals to overwrite, by setting."""
    add: list[str]
    blocked: dict[str, str]
    """Settings that stay as they are, and why."""

    @property
    def names(self) -> list[str]:
        """The settings that change."""
        return [*self.replace, *self.add]


def plan(source: Source, call: ast.Call, observed: Settings, wanted: Settings) -> Plan:
    """Return the smallest edit that brings a call from the observed to the wanted settings."""
    replace: dict[str, ast.expr] = {}
    add: list[str] = []
    blocked: dict[str, str] = {}
    for name in (name for name, row in SETTINGS.items() if row.scope is Scope.LOADER):
        target, given = getattr(wanted, name), callsite.argument(call, name)
        if given.node is not None and given.literal:
            if given.value != target and not _means_the_same(name, given.value, target):
                replace[name] = given.node
        elif target == getattr(observed, name) or (given.node is None and _is_default(name, target, observed)):
            continue
        elif given.node is not None:
            blocked[name] = f"its value comes from {callsite.origin(source, given.node)}"
        elif hidden := callsite.hidden_arguments(call):
            blocked[name] = f"it may be given in {' and '.join(callsite.origin(source, node) for node in hidden)}"
        elif not callsite.takes_every_setting(source, call):
            blocked[name] = f"{callsite.callee(call)}(...) may not take it as a keyword"
        else:
            add.append(name)
    return _consistent(Plan(replace, add, blocked), observed, wanted)


def _means_the_same(name: str, given: object, target: object) -> bool:
    return name == "prefetch_factor" and given is None and target == DEFAULT_PREFETCH_FACTOR


def _is_default(name: str, target: object, observed: Settings) -> bool:
    """Whether leaving the keyword out gives the target, as it gave the observed value."""
    if name == "prefetch_factor":
        return target in (None, DEFAULT_PREFETCH_FACTOR) and observed.prefetch_factor in (
            None,
            DEFAULT_PREFETCH_FACTOR,
        )
    return bool(target == TORCH_DEFAULTS[name] == getattr(observed, name))


def _consistent(made: Plan, observed: Settings, wanted: Settings) -> Plan:
    """Take back edits that torch would refuse because another setting could not be changed."""
    if not made.blocked:
        return made
    workers = wanted.num_workers if "num_workers" in made.names else observed.num_workers
    stays = [name for name in NEED_WORKERS[:2] if name in made.blocked]
    dropped: dict[str, str] = {}
    if workers == 0 and observed.num_workers and stays and "num_workers" in made.names:
        dropped["num_workers"] = f"without workers torch refuses {stays[0]}, which cannot be changed here"
        dropped |= {name: "it belongs to num_workers" for name in made.names if name in NEED_WORKERS}
    elif workers == 0:
        dropped = {name: "it needs num_workers above 0" for name in made.names if name in NEED_WORKERS}
    return Plan(
        {name: node for name, node in made.replace.items() if name not in dropped},
        [name for name in made.add if name not in dropped],
        {**made.blocked, **dropped},
    )


def apply(source: Source, call: ast.Call, made: Plan, wanted: Settings) -> bytes:
    """Return the source with the plan carried out."""
    edits = [
        (source.start(node), source.end(node), repr(getattr(wanted, name)).encode())
        for name, node in made.replace.items()
    ]
    edits += _additions(source, call, [f"{name}={getattr(wanted, name)!r}" for name in made.add])
    data = source.data
    for start, end, text in sorted(edits, reverse=True):
        data = data[:start] + text + data[end:]
    return data


def _additions(source: Source, call: ast.Call, keywords: list[str]) -> list[tuple[int, int, bytes]]:
    """Return the insertions that add keywords in the call's own style."""
    if not keywords:
        return []
    given: list[ast.expr | ast.keyword] = [*call.args, *call.keywords]
    last = max(given, key=source.end)
    close = source.end(call) - 1
    anchor, comma = _tail(source.data, source.end(last), close)
    newline = b"\r\n" if b"\r\n" in source.data else b"\n"
    indent = _indent(source, last)
    close_line = source.line_start(close)
    texts = [keyword.encode() for keyword in keywords]
    if close_line > anchor and not source.data[close_line:close].strip():
        # The parenthesis closes on a line of its own: one keyword a line, with or without a comma at the end.
        lines = (b"," + newline).join(indent + text for text in texts) + (b"," if comma else b"") + newline
        before = [] if comma else [(anchor, anchor, b",")]
        return [*before, (close_line, close_line, lines)]
    begins_line = not source.data[source.line_start(source.start(last)) : source.start(last)].strip()
    glue = newline + indent if begins_line and last.lineno > call.lineno else b" "
    if comma:
        return [(comma, comma, b"".join(glue + text + b"," for text in texts))]
    return [(anchor, anchor, b"".join(b"," + glue + text for text in texts))]


def _indent(source: Source, node: ast.expr | ast.keyword) -> bytes:
    start = source.line_start(source.start(node))
    line = source.data[start : source.start(node)]
    return line[: len(line) - len(line.lstrip())]


def _tail(data: bytes, position: int, close: int) -> tuple[int, int]:
    """Return the end of the last argument, its parentheses included, and the offset after a comma (or 0)."""
    anchor, comma = position, 0
    while position < close:
        character = data[position : position + 1]
        if character == b"#":
            ends = [end for end in (data.find(b"\n", position), data.find(b"\r", position)) if end >= 0]
            position = min(ends)
            continue
        position += 1
        if character == b")":
            anchor = position
        elif character == b",":
            comma = position
    return anchor, comma
