"""The user's working directory at another revision, in a git worktree that is gone afterwards."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from gputune.errors import UsageError
from gputune.script import Script


@contextlib.contextmanager
def checked_out(revision: str, cwd: Path) -> Iterator[Path]:
    """Check a revision out beside the user's files and give the folder that corresponds to ``cwd``.

    Raises:
        UsageError: no git repository, no such revision, or the folder did not exist then.
    """
    top = Path(_git(cwd, "rev-parse", "--show-toplevel"))
    commit = _commit(cwd, revision)
    with tempfile.TemporaryDirectory(prefix="gputune-against-") as base:
        tree = Path(base) / top.name
        # A hook of the user's (dependencies, notifications) must not run for a look at an old revision.
        _git(top, "-c", "core.hooksPath=/dev/null", "worktree", "add", "--detach", str(tree), commit)
        try:
            folder = tree / cwd.resolve().relative_to(top.resolve())
            if not folder.is_dir():
                raise UsageError(f"{cwd} does not exist at {revision}", "run from a folder that both revisions have")
            yield folder
        finally:
            _git(top, "worktree", "remove", "--force", str(tree))


def moved(script: Script, cwd: Path, folder: Path, revision: str) -> Script:
    """Return a command as it is typed in the worktree: its script is the one there.

    Raises:
        UsageError: the script lies outside the repository or did not exist at that revision.
    """
    if script.path is None:
        return script
    top = Path(_git(cwd, "rev-parse", "--show-toplevel")).resolve()
    there_top = Path(_git(folder, "rev-parse", "--show-toplevel"))
    if not script.path.is_relative_to(top):
        raise UsageError(f"{script.path} is not in the repository {top}", "--against needs a committed script")
    path = there_top / script.path.relative_to(top)
    if not path.is_file():
        raise UsageError(f"{script.command[0]} does not exist at {revision}", "--against needs a script in both")
    argv = [script.argv[0], str(path), *script.argv[2:]]
    return Script(command=script.command, argv=argv, path=path, scope=script.scope)


def _commit(cwd: Path, revision: str) -> str:
    try:
        return _git(cwd, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    except UsageError:
        raise UsageError(
            f"--against {revision}: no such revision here", "a shallow clone lacks it: git fetch --depth 50 origin main"
        ) from None


def _git(cwd: Path, *words: str) -> str:
    try:
        done = subprocess.run(["git", *words], cwd=cwd, capture_output=True, text=True, timeout=120, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"git cannot be run: {error}", "--against needs git") from error
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise UsageError(f"git {' '.join(words[:4])} failed in {cwd}: {said}", "--against needs a git repository")
    return done.stdout.strip()
