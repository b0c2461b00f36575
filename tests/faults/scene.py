"""One campaign that something happens to: a project, ``gputune profile`` on it, and a look at what is left."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from project_tree import fill, picture
from remains import MARK, Remains

from gputune.record import RUN_FILE, Run, load

SCRIPT = Path(__file__).parents[1] / "targets" / "faults.py"
LINE_LIMIT = 110
OUR_FRAMES = ("probes/agent", "probes/attach", "tuner/", "gputune/campaign")
TIME = re.compile(r"^(gputune: | *[0-9.]+s +)")


class Scene:
    """A user's folder with everything that must survive in it.

    Args:
        folder: an empty folder of this scene alone.
        report: called with (fault, what the user sees, what was left behind) once a fault was survived.
    """

    def __init__(self, folder: Path, report: Callable[[str, str, str], None]) -> None:
        self.folder, self.tree, self.results = folder, folder / "project", folder / "results"
        self._report = report
        for name in ("project", "home", "cache", "tmp"):
            (folder / name).mkdir()
        fill(self.tree)
        self.script = Path(shutil.copy(SCRIPT, self.tree / "train.py"))
        self.env = {
            **os.environ,
            "HOME": str(folder / "home"),
            "XDG_CACHE_HOME": str(folder / "cache"),
            "TMPDIR": str(folder / "tmp"),
            "COLUMNS": "100",
            "PYTHONDONTWRITEBYTECODE": "1",
            MARK: str(folder),
        }
        self._before = picture(self.tree)
        self._remains = Remains(folder, folder / "tmp", self.results)
        self.tuner: subprocess.Popen[bytes] | None = None

    def start(
        self, how: str, *options: object, env: Mapping[str, str] | None = None, wrap: Sequence[object] = ()
    ) -> None:
        """Start ``gputune profile`` on the script that does ``how``.

        Args:
            how: what the script shall do; see ``tests/targets/faults.py``.
            options: further options of ``gputune profile``.
            env: further environment variables.
            wrap: a command that starts ours.
        """
        command = [*wrap, sys.executable, "-m", "gputune", "profile", "--results-dir", self.results, "--budget", "6"]
        with open(self.folder / "out", "wb") as out, open(self.folder / "err", "wb") as err:
            self.tuner = subprocess.Popen(
                [str(word) for word in (*command, *options, "train.py", how)],
                cwd=self.tree,
                env={**self.env, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
                # A shell that runs the tests in the background lets them ignore Ctrl-C; a terminal does not.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )

    @property
    def err(self) -> str:
        """What the user has read so far."""
        return (self.folder / "err").read_text(errors="replace")

    def await_text(self, text: str, timeout_s: float = 90.0) -> None:
        """Wait until the tuner has said something."""
        self.await_true(lambda: text in self.err, f"never said {text!r}", timeout_s)

    def await_true(self, condition: Callable[[], bool], problem: str, timeout_s: float = 90.0) -> None:
        """Wait until something holds while the tuner runs."""
        assert self.tuner is not None
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert self.tuner.poll() is None, f"{problem}; the tuner ended:\n{self.err}"
            assert time.monotonic() < deadline, f"{problem}:\n{self.err}"
            time.sleep(0.02)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the tuner, as ``kill`` does."""
        assert self.tuner is not None
        self.tuner.send_signal(number)

    def ended(self, timeout_s: float = 150.0) -> int:
        """Wait for the end of the tuner and return its status."""
        assert self.tuner is not None
        return self.tuner.wait(timeout_s)

    def profile(self, how: str, *options: object, **more: object) -> int:
        """Run ``gputune profile`` to its end and return its status."""
        self.start(how, *options, **more)  # type: ignore[arg-type]
        return self.ended()

    def run(self) -> Run:
        """Return the one stored run."""
        (file,) = self.results.glob(f"*/{RUN_FILE}")
        return load(file)

    def survived(self, fault: str, words: str, *, clean: bool = True) -> None:
        """Assert that the user was told, that the tree is untouched and that nothing is left; add a row to the table.

        Args:
            fault: its name in the table.
            words: what the user must have read.
            clean: no traceback may have been printed.
        """
        err = self.err
        seen = next((line.strip() for line in err.splitlines() if words in line), "")
        if not seen and words in (text := " ".join(err.split())):  # broken over lines
            seen = text[text.rindex(". ", 0, text.index(words)) + 2 :]
        assert seen, f"nobody said {words!r}:\n{err}"
        for frames in OUR_FRAMES:
            assert f'File "{frames}' not in err
        assert not (clean and "Traceback" in err), err
        assert picture(self.tree) == self._before, "the user's tree has changed"
        left = self._remains.after()
        assert left == [], left
        self._report(fault, _shortened(seen), "nothing")

    def close(self) -> None:
        """Kill what a failed test left."""
        if self.tuner is not None and self.tuner.poll() is None:
            os.killpg(self.tuner.pid, signal.SIGKILL)
            self.tuner.wait()


def _shortened(line: str) -> str:
    """Return what a line says, without the time and the settings in front of a failed trial."""
    said = TIME.sub("", line)
    settings, failed, reason = said.partition(": failed: ")
    said = f"{settings.split()[0]}{failed}{reason}" if failed else said
    return said if len(said) <= LINE_LIMIT else said[: LINE_LIMIT - 3] + "..."
