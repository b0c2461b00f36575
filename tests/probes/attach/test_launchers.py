"""Behind a launcher the process that trains is found, and it alone."""

from __future__ import annotations

import sys
import time
import venv
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from conducting import Conducted

from gputune.probes import attach
from gputune.probes.target import Target, TargetGone, TargetTrouble

LOOP = [sys.executable, str(Path(__file__).parents[2] / "targets" / "loops.py"), "sequential", "800", "0"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "1"]


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., Target]]:
    targets: list[Target] = []

    def run(*command: str, scope: str = "tree") -> Target:
        targets.append(Target(command, cwd=tmp_path, scope=scope, log=tmp_path / "log"))
        return targets[-1]

    yield run
    for target in targets:
        target.stop()


def starts(count: int) -> str:
    """Return the source of a launcher: it closes what it does not know and waits for what it started."""
    return (
        f"import subprocess, torch\nstarted = [subprocess.Popen({LOOP!r}) for _ in range({count})]\n"
        "import os\n"
        "for process in started: os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)\n"
        "raise SystemExit(max(process.wait() for process in started))\n"
    )


@pytest.mark.parametrize("door", ["shell", "launcher", "torchrun"])
def test_the_script_behind_a_launcher_is_conducted(launch, tmp_path, door):
    (tmp_path / "launch.py").write_text(starts(1))
    (tmp_path / "launch.sh").write_text(" ".join(LOOP) + "\nexit $?\n")
    target = {
        "shell": lambda: launch("/bin/sh", "launch.sh"),
        "launcher": lambda: launch(sys.executable, "launch.py"),
        "torchrun": lambda: launch(*TORCHRUN, *LOOP[1:]),
    }[door]()
    conducted = Conducted(target)
    assert conducted.hello.environment.pid != target.pid
    assert conducted.burst(num_workers=2).settings.num_workers == 2
    gone = conducted.finish()
    assert (gone.status, gone.goodbye and gone.goodbye.conducted) == (0, True)


def test_of_two_trainings_at_once_one_is_conducted_and_the_other_left_alone(launch, tmp_path):
    (tmp_path / "launch.py").write_text(starts(2))
    target = launch(sys.executable, "launch.py")
    conducted = Conducted(target)
    processes = psutil.Process(target.pid).children()
    other = next(process for process in processes if process.pid != conducted.hello.environment.pid)
    # The conducted one waits for orders; the other trains to its end.
    deadline_s = time.monotonic() + 60
    while other.status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline_s:
        time.sleep(0.1)
    assert other.status() == psutil.STATUS_ZOMBIE
    assert conducted.burst().samples
    assert conducted.finish().status == 0


def test_an_interpreter_that_lacks_what_we_need_says_what_to_install(launch, tmp_path):
    venv.create(tmp_path / "bare", symlinks=True)
    fake = tmp_path / "torch" / "utils" / "data"
    fake.mkdir(parents=True)
    for folder in (fake, fake.parent, fake.parent.parent):
        (folder / "__init__.py").touch()
    (fake / "dataloader.py").touch()
    (tmp_path / "train.py").write_text("import torch.utils.data.dataloader\nprint('trained')\n")
    target = launch(str(tmp_path / "bare" / "bin" / "python"), "train.py", scope="self")
    with pytest.raises((TargetTrouble, TargetGone)) as trouble:
        target.hello(60)
    if isinstance(trouble.value, TargetTrouble):
        assert "pip install gputune" in str(trouble.value)
    assert "trained" in target.output_tail(5.0)
    assert "bare/bin/python lacks" in target.output_tail(5.0)


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (["python", "-I", "train.py"], "-I"),
        (["env", "A=1", "/usr/bin/python3.11", "-uE", "train.py"], "-E"),
        (["python", "-S", "-m", "train"], "-S"),
        (["python", "-X", "importtime", "-W", "ignore", "train.py", "-I"], ""),
        (["torchrun", "train.py", "-S"], ""),
    ],
)
def test_options_that_keep_us_out_are_known_beforehand(command, reason):
    found = attach.obstacle(command)
    assert found.startswith(f"python {reason} ") if reason else found == ""
