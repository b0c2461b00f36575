"""Rehearse a patch before it is offered: git applies it to a copy, the patched script is run and measured again.

Nothing of the user's changes: ``git apply`` works on a copy of the one file, and the script runs in the sandbox, where
the patched text lies over the original.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec

from gputune import lock, stats
from gputune.errors import GputuneError, InconclusiveError
from gputune.export.patch import Patch
from gputune.numbers import rate
from gputune.probes.burst import Burst, Purpose
from gputune.probes.protocol import Hello, Length
from gputune.probes.sandbox import plan
from gputune.probes.settings import Settings
from gputune.probes.tensorflow.settings import PIPELINE_SETTINGS
from gputune.record import Run
from gputune.script import Script
from gputune.target_bench import TargetBench

LENGTH = Length(warmup_batches=4, min_batches=16, min_s=1.5, max_s=5.0, precision=0.05)
WITHOUT = "offer it without a rehearsal: gputune export --format patch --no-verify"
_WRITE = 'cat "$1" > "$2" && shift 3 && exec "$@"'
"""Puts the patched text over the file (in the sandbox's scratch space) and becomes the user's command."""
_MARK = ': > "$3"'
"""Writes a new file beside it, to see whether such writes are diverted."""


class Rehearsed(msgspec.Struct, frozen=True, kw_only=True):
    """What the patched script did."""

    values: dict[str, object]
    """The settings that the patch changes, as its loader had them."""
    samples_per_s: stats.Estimate
    before_samples_per_s: float
    """The rate under the user's settings when the patch was proved."""

    @property
    def said(self) -> str:
        """Return the line for the patch's header."""
        values = " ".join(f"{name}={value}" for name, value in self.values.items())
        return (
            f"rehearsed: in the sandbox the patched script had {values} and made "
            f"{rate(self.samples_per_s.value)} (yours {rate(self.before_samples_per_s)})"
        )


def rehearse(run: Run, made: Patch, say: Callable[[str], None] = lambda text: None) -> Rehearsed:
    """Apply a patch to a copy, run the patched script shortly, and return what it did.

    Args:
        run: the run the patch is made from.
        made: the patch.
        say: shows a line of progress.

    Raises:
        InconclusiveError: git refuses the patch, the patched script fails, its loader does not get the values, or it is
            no faster; the message says which.
    """
    _check_applies(made)
    say("rehearsing the patch: starting the patched script in the sandbox (--no-verify leaves this out)")
    with lock.campaign(), tempfile.TemporaryDirectory(prefix="gputune-rehearsal-") as folder:
        patched = Path(folder) / "patched.py"
        patched.write_bytes(made.after)
        marker = made.path.with_name(f".{Path(folder).name}")
        _must_divert(run, made, patched, marker)
        try:
            hello, burst = _measured(run, _script(run, made, _WRITE, patched, marker), Path(folder), say)
        except GputuneError as error:
            refused = f"the patch is not offered: the patched script did not run: {error}"
            raise InconclusiveError(refused, WITHOUT) from error
    return _judged(run, made, hello, burst)


def _check_applies(made: Patch) -> None:
    """Have git apply the patch to a copy and to nothing (``--check``) in the user's tree."""
    if shutil.which("git") is None:
        raise InconclusiveError("the patch is not offered: git, which would apply it, is not installed", WITHOUT)
    with tempfile.TemporaryDirectory(prefix="gputune-copy-") as folder:
        copy = Path(folder) / made.path.relative_to(made.root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(made.before)
        _git(Path(folder), made, "apply", "-")
        if copy.read_bytes() != made.after:
            raise InconclusiveError("the patch is not offered: git makes another text of it than was meant", WITHOUT)
    _git(made.root, made, "apply", "--check", "-")


def _git(folder: Path, made: Patch, *words: str) -> None:
    command = ["git", "-c", "core.autocrlf=false", "-C", str(folder), *words]
    done = subprocess.run(command, input=made.text.encode(), capture_output=True, timeout=60, check=False)
    if done.returncode:
        said = " ".join(done.stderr.decode(errors="replace").split())
        raise InconclusiveError(f"the patch is not offered: git {' '.join(words)} says: {said}", WITHOUT)


def _must_divert(run: Run, made: Patch, patched: Path, marker: Path) -> None:
    """Refuse where what is written beside the file would be written for real (in /tmp outside the project, in caches).

    Raises:
        InconclusiveError: it would, or there is no sandbox that diverts writes.
    """
    script = _script(run, made, _MARK, patched, marker)
    try:
        with plan.launch(script.argv, cwd=Path(run.cwd), env=os.environ, mode="overlay") as keeper:
            keeper.wait(30.0)
        real = marker.exists()
    except (plan.SandboxUnavailable, plan.CommandNotStarted) as error:
        raise InconclusiveError(f"the patch cannot be rehearsed here: {error}", WITHOUT) from error
    finally:
        marker.unlink(missing_ok=True)
    if real:
        raise InconclusiveError(
            f"the patch cannot be rehearsed here: {made.path.parent} is shared with other programs, not protected",
            WITHOUT,
        )


def _measured(run: Run, script: Script, folder: Path, say: Callable[[str], None]) -> tuple[Hello, Burst]:
    bench = TargetBench(script, cwd=Path(run.cwd), log_folder=folder, mode="overlay")
    try:
        hello = bench.start()
        say("measuring it")
        burst = bench.measure(hello.loader.settings, Purpose.BASELINE, LENGTH)
    finally:
        bench.stop()
    if not isinstance(burst, Burst):
        raise InconclusiveError(burst.reason)
    return hello, burst


def _script(run: Run, made: Patch, program: str, patched: Path, marker: Path) -> Script:
    """Return the user's command behind a line of shell; both programs get the same words, so the same protection."""
    launcher = run.command[:1] == ["--"]
    argv = run.command[1:] if launcher else [sys.executable, *run.command]
    wrapped = ["/bin/sh", "-c", program, "gputune", str(patched), str(made.path), str(marker), *argv]
    return Script(command=run.command, argv=wrapped, path=None, scope="tree" if launcher else "self")


def _judged(run: Run, made: Patch, hello: Hello, burst: Burst) -> Rehearsed:
    site = hello.loader
    if (site.file, site.line) != (str(made.path), made.line):
        raise InconclusiveError(
            f"the patch is not offered: with it the loader at {Path(site.file).name}:{site.line} trains, "
            f"not the one at {made.path.name}:{made.line}",
            "profile again, then export again",
        )
    for name in made.names:
        seen, wanted = _value(site.settings, name), _value(made.wanted, name)
        if seen != wanted:
            raise InconclusiveError(
                f"the patch is not offered: with it the loader at {made.path.name}:{made.line} still has "
                f"{name}={seen}, not {wanted}",
                "something between the call and the loader changes it; apply the settings with: gputune run",
            )
    assert run.baseline is not None  # a recommendation rests on one
    pairs = run.proof.pairs if run.proof else []
    rates = [stats.samples_per_s(pair.user) for pair in pairs] or [stats.samples_per_s(run.baseline)]
    before, now = sum(rates) / len(rates), stats.throughput(burst)
    if now.high < before:
        raise InconclusiveError(
            f"the patch is not offered: the patched script made {rate(now.value)}, yours made {rate(before)}",
            "other programs may have been busy: export again, or profile again",
        )
    values = {name: _value(site.settings, name) for name in made.names}
    return Rehearsed(values=values, samples_per_s=now, before_samples_per_s=before)


def _value(settings: Settings, name: str) -> object:
    """Return a setting of the loader or of its pipeline."""
    return getattr(settings.pipeline if name in PIPELINE_SETTINGS and settings.pipeline else settings, name)
