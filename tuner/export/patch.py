"""A unified diff that ``git apply`` accepts, at the place where the loader is constructed."""

from __future__ import annotations

import difflib
import hashlib
from datetime import datetime
from pathlib import Path

import msgspec

from gputune import config
from gputune.errors import InconclusiveError
from gputune.export import callsite, runtime_api, splice, tfdata_patch
from gputune.probes.protocol import LoaderSite
from gputune.probes.settings import Settings
from gputune.record import Run

INSTALLED = ("site-packages", "dist-packages")


class Patch(msgspec.Struct, frozen=True, kw_only=True):
    """A diff and what it changes."""

    text: str
    """Comments about what it leaves alone (``git apply`` skips those), then the diff."""
    root: Path
    """The folder its paths count from."""
    path: Path
    line: int
    before: bytes
    after: bytes
    names: list[str]
    """The settings it changes; others are named in the comments."""
    wanted: Settings


def render(run: Run) -> str:
    """Return the diff, not rehearsed.

    Raises:
        InconclusiveError: nothing is recommended, or the call cannot be edited safely; the message says why.
    """
    return make(run).text


def make(run: Run) -> Patch:
    """Return the patch for the loader of a run.

    Raises:
        InconclusiveError: nothing is recommended, or the call cannot be edited safely; the message says why.
    """
    wanted = config.from_run(run).loaders[0].settings
    site = run.loader
    assert site is not None  # from_run has checked it
    path = Path(site.file)
    if wanted.pipeline is not None:
        return _of_pipeline(run, site, wanted)
    _refuse_libraries(site)
    data = _read(path, run)
    source = callsite.Source(data, path.name)
    call = callsite.find_call(source, site.line, site.loader_class, site.settings)
    made = splice.plan(source, call, site.settings, wanted)
    notes = [f"# {name}={getattr(wanted, name)}: {why}; change it there" for name, why in made.blocked.items()]
    notes += runtime_api.comments(wanted)
    if not made.names:
        listed = "; ".join(note.removeprefix("# ") for note in notes)
        raise InconclusiveError(
            f"{site.file}:{site.line} cannot be patched: {listed or 'it has these values already'}",
            f"apply the settings without an edit: gputune run {' '.join(run.command)}",
        )
    root, after = _root(path, run), splice.apply(source, call, made, wanted)
    header = [f"# gputune run {run.id}; apply with: git -C {root} apply PATCH_FILE", *notes]
    text = "\n".join(header) + "\n" + diff(data, after, path.relative_to(root).as_posix())
    return Patch(
        text=text, root=root, path=path, line=site.line, before=data, after=after, names=made.names, wanted=wanted
    )


def _of_pipeline(run: Run, site: LoaderSite, wanted: Settings) -> Patch:
    """Return the patch for a ``tf.data`` pipeline; its calls are found one by one, so that no library is in the way."""
    path = Path(site.file)
    data, root = _read(path, run), _root(path, run)
    after = tfdata_patch.edited(run, data, path)
    text = f"# gputune run {run.id}; apply with: git -C {root} apply PATCH_FILE\n"
    text += diff(data, after, path.relative_to(root).as_posix())
    names = list(site.settings.differences(wanted))
    return Patch(text=text, root=root, path=path, line=site.line, before=data, after=after, names=names, wanted=wanted)


def _refuse_libraries(site: LoaderSite) -> None:
    inside = any(part in INSTALLED for part in Path(site.file).parts)
    if not inside and site.user_file in ("", site.file):
        return
    called = f" (called from {site.user_file}:{site.user_line})" if site.user_file else ""
    raise InconclusiveError(
        f"the loader at {site.file}:{site.line}{called} is constructed inside an installed library, "
        "which is not patched",
        "use the library's own arguments: gputune export --format huggingface (or lightning, hydra, python)",
    )


def _read(path: Path, run: Run) -> bytes:
    """Return the text, refusing one that is not what was measured."""
    try:
        data, modified_s = path.read_bytes(), path.stat().st_mtime
    except OSError as error:
        raise InconclusiveError(f"cannot read {path}: {error.strerror}", callsite.BY_HAND) from error
    known = run.sources.get(str(path))
    changed = known != hashlib.sha256(data).hexdigest() if known else modified_s > _created_s(run, modified_s)
    if changed:
        raise InconclusiveError(f"{path} has changed since run {run.id}", "profile again, then export again")
    return data


def _created_s(run: Run, unknown_s: float) -> float:
    try:
        return datetime.fromisoformat(run.created_at).timestamp()
    except ValueError:
        return unknown_s


def _root(path: Path, run: Run) -> Path:
    """Return the folder that paths count from: the repository's, else the run's, else the file's."""
    for folder in path.parents:
        if (folder / ".git").exists():
            return folder
    start = Path(run.cwd) if run.cwd else path.parent
    return start if path.is_relative_to(start) else path.parent


def diff(before: bytes, after: bytes, name: str) -> str:
    """Return a unified diff of two UTF-8 texts as git writes it, line endings kept."""
    old, new = (text.decode().split("\n") for text in (before, after))
    lines = list(difflib.unified_diff(_ended(old), _ended(new), n=3))[2:]
    body = "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
    a, b = _quoted(f"a/{name}"), _quoted(f"b/{name}")
    # A name with a space ends at a tab, or git would take a time stamp for part of it.
    tab = "\t" if " " in name else ""
    return f"diff --git {a} {b}\n--- {a}{tab}\n+++ {b}{tab}\n{body}"


def _ended(lines: list[str]) -> list[str]:
    return [line + "\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])


def _quoted(path: str) -> str:
    """Return a path as git quotes it: in C style when it holds quotes, backslashes or bytes outside ASCII."""
    if all(" " <= character <= "~" and character not in '"\\' for character in path):
        return path
    escapes = {ord('"'): '\\"', ord("\\"): "\\\\", ord("\n"): "\\n", ord("\t"): "\\t"}
    coded = (escapes.get(b) or (chr(b) if 0x20 <= b <= 0x7E else f"\\{b:03o}") for b in path.encode())
    return f'"{"".join(coded)}"'
