"""Find the call that constructs a loader in a source text, and say where its values come from. Pure."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import msgspec

from gputune.errors import InconclusiveError
from gputune.probes.settings import DEFAULT_PREFETCH_FACTOR, SETTINGS, Settings

TORCH_LOADERS = {"DataLoader", "StatefulDataLoader"}
"""Constructors known to take every setting as a keyword."""
POSITIONS = {"num_workers": 5, "pin_memory": 7}
"""Where torch's DataLoader takes settings without a keyword, counted from ``dataset`` at 0."""
BY_HAND = "paste the values by hand: gputune export --format python"


class Source:
    """A parsed source text and the byte offsets of its nodes.

    Raises:
        InconclusiveError: the text is not UTF-8 or does not parse.
    """

    def __init__(self, data: bytes, name: str) -> None:
        self.data, self.name = data, name
        try:
            self.text = data.decode("utf-8")
            self.tree = ast.parse(data)
        except (UnicodeDecodeError, SyntaxError, ValueError) as error:
            raise InconclusiveError(f"cannot read {name} as Python in UTF-8: {error}", BY_HAND) from error
        starts = [match.end() for match in re.finditer(rb"\r\n|\r|\n", data)]
        self._starts = [3 if data.startswith(b"\xef\xbb\xbf") else 0, *starts]

    def start(self, node: ast.expr | ast.keyword) -> int:
        """Return the offset of a node's first byte."""
        return self._starts[node.lineno - 1] + node.col_offset

    def end(self, node: ast.expr | ast.keyword) -> int:
        """Return the offset after a node's last byte."""
        line, column = node.end_lineno or node.lineno, node.end_col_offset or node.col_offset
        return self._starts[line - 1] + column

    def line_start(self, offset: int) -> int:
        """Return the offset of the first byte of the line that holds ``offset``."""
        return max(start for start in self._starts if start <= offset)

    def slice(self, node: ast.expr) -> str:
        """Return the text of a node on one line."""
        return " ".join(self.data[self.start(node) : self.end(node)].decode().split())


class Argument(msgspec.Struct, frozen=True):
    """How one setting is given in a call."""

    node: ast.expr | None
    """Its value; ``None`` when the call does not give it."""
    literal: bool = False
    value: object = None


def find_call(source: Source, line: int, loader_class: str, observed: Settings) -> ast.Call:
    """Return the one call at ``line`` that constructed the observed loader.

    Raises:
        InconclusiveError: no such call, or more than one that could be it.
    """
    names = _loader_names(source.tree) | {loader_class}
    calls = [node for node in ast.walk(source.tree) if isinstance(node, ast.Call) and _spans(node, line)]
    loaders = [call for call in calls if callee(call) in names or _is_super_init(call, names)]
    here = [call for call in loaders if call.lineno == line] or loaders
    here = [call for call in here if not any(other is not call and _within(other, call) for other in here)]
    if not here:
        other = f": the call there is {source.slice(calls[0].func)}(...)" if calls else ""
        raise InconclusiveError(f"{source.name}:{line} constructs no loader{other}", BY_HAND)
    fitting = [call for call in here if not contradiction(call, observed)]
    if not fitting:
        raise InconclusiveError(
            f"{source.name}:{line} has changed since the run: {contradiction(here[0], observed)}",
            "profile again, then export again",
        )
    if len(fitting) > 1:
        raise InconclusiveError(f"{source.name}:{line} constructs {len(fitting)} loaders on one line", BY_HAND)
    return fitting[0]


def _spans(node: ast.Call, line: int) -> bool:
    return node.lineno <= line <= (node.end_lineno or node.lineno)


def _within(inner: ast.Call, outer: ast.Call) -> bool:
    return any(node is inner for node in ast.walk(outer) if node is not outer)


def callee(call: ast.Call) -> str:
    """Return the last name of what is called: ``DataLoader`` for ``torch.utils.data.DataLoader(...)``."""
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""


def _is_super_init(call: ast.Call, names: set[str]) -> bool:
    if not (isinstance(call.func, ast.Attribute) and call.func.attr == "__init__"):
        return False
    owner = call.func.value
    return (isinstance(owner, ast.Call) and callee(owner) == "super") or (
        isinstance(owner, ast.Name) and owner.id in names
    )


def _loader_names(tree: ast.AST) -> set[str]:
    """Return torch's loader names and what this file calls them."""
    names = set(TORCH_LOADERS)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names |= {item.asname for item in node.names if item.asname and item.name in TORCH_LOADERS}
        elif isinstance(node, ast.Assign) and isinstance(node.value, (ast.Name, ast.Attribute)):
            value = node.value.id if isinstance(node.value, ast.Name) else node.value.attr
            if value in TORCH_LOADERS:
                names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return names


def takes_every_setting(source: Source, call: ast.Call) -> bool:
    """Whether a missing setting may be added as a keyword."""
    names = _loader_names(source.tree)
    return callee(call) in names or _is_super_init(call, names)


def argument(call: ast.Call, name: str) -> Argument:
    """Return how the call gives a setting, by keyword or position."""
    node = next((keyword.value for keyword in call.keywords if keyword.arg == name), None)
    position = POSITIONS.get(name)
    if node is None and position is not None and len(call.args) > position and callee(call) != "__init__":
        node = None if any(isinstance(value, ast.Starred) for value in call.args) else call.args[position]
    if node is None:
        return Argument(None)
    try:
        value = ast.literal_eval(node)
    except ValueError:
        return Argument(node)
    plain = value is None or isinstance(value, (bool, int))
    return Argument(node, literal=plain, value=value if plain else None)


def contradiction(call: ast.Call, observed: Settings) -> str:
    """Return how a literal of the call differs from what was measured, or nothing."""
    for name in SETTINGS:
        given = argument(call, name)
        seen = getattr(observed, name)
        if not given.literal or given.value == seen or (given.value is None and seen == _default(name, observed)):
            continue
        if name == "in_order" and observed.num_workers == 0:
            continue
        return f"it says {name}={given.value}, the run saw {name}={seen}"
    return ""


def _default(name: str, observed: Settings) -> object:
    return DEFAULT_PREFETCH_FACTOR if name == "prefetch_factor" and observed.num_workers else None


def hidden_arguments(call: ast.Call) -> list[ast.expr]:
    """Return the ``**kw`` and ``*args`` of a call, which may hold any setting."""
    packed = [keyword.value for keyword in call.keywords if keyword.arg is None]
    return packed + [value.value for value in call.args if isinstance(value, ast.Starred)]


def origin(source: Source, node: ast.expr) -> str:
    """Return the text of a value and, where the file shows it, the line it comes from."""
    text = source.slice(node)
    line = _argparse_line(source.tree, node) or _assignment_line(source.tree, node)
    return f"`{text}` ({source.name}:{line})" if line else f"`{text}`"


def _argparse_line(tree: ast.AST, node: ast.expr) -> int:
    if not isinstance(node, ast.Attribute):
        return 0
    flag = f"--{node.attr.replace('_', '-')}"
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and callee(call) == "add_argument":
            flags = {
                a.value.replace("_", "-") for a in call.args if isinstance(a, ast.Constant) and isinstance(a.value, str)
            }
            if flag in flags:
                return call.lineno
    return 0


def _assignment_line(tree: ast.AST, node: ast.expr) -> int:
    """Return the last line before ``node`` that binds the name it starts with (0: none in this file)."""
    root: ast.AST = node
    while isinstance(root, (ast.Attribute, ast.Subscript, ast.Call)):
        root = root.func if isinstance(root, ast.Call) else root.value
    if not isinstance(root, ast.Name):
        return 0
    return max((line for line in _bindings(tree, root.id) if line <= node.lineno), default=0)


def _bindings(tree: ast.AST, name: str) -> Iterator[int]:
    for node in ast.walk(tree):
        stored = isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id == name
        if isinstance(node, ast.expr | ast.arg) and (stored or (isinstance(node, ast.arg) and node.arg == name)):
            yield node.lineno
