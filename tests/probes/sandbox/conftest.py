"""A project worth protecting, a picture of it, and a way to run commands in the sandbox as anybody."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from project_tree import NOBODY, fill, picture

DRIVE = Path(__file__).with_name("drive.py")
TARGETS = Path(__file__).parents[2] / "targets"


@pytest.fixture(name="picture")
def picture_fixture():
    """Returns the function that takes a picture of a tree."""
    return picture


@pytest.fixture
def targets():
    """The folder of scripts to be probed."""
    return TARGETS


@pytest.fixture
def assert_nothing_left():
    """Returns a function that looks for mounts, directories and processes of one ended probe."""

    def look(scratch):
        assert not os.path.lexists(scratch)
        assert scratch not in Path("/proc/self/mountinfo").read_text()
        mark = f"GPUTUNE_SCRATCH={scratch}".encode()
        for process in Path("/proc").glob("[0-9]*"):
            try:
                environment = (process / "environ").read_bytes()
            except OSError:
                continue  # another user's, or gone
            assert mark not in environment, process

    return look


@pytest.fixture(params=["the present user", "an ordinary user"])
def user(request):
    """The command is run as whoever runs the tests, and as nobody."""
    nobody = request.param == "an ordinary user"
    if nobody and os.geteuid() != 0:
        pytest.skip("only root can become another user; the present one is an ordinary user already")
    return nobody


@pytest.fixture(params=["under /tmp", "elsewhere"])
def place(request):
    """Projects under /tmp need an overlay of their own; that of the top directory covers all others."""
    if request.param == "under /tmp":
        return "/tmp"
    folder = Path(__file__).parents[3] / ".cache"
    folder.mkdir(exist_ok=True)
    return str(folder)


@pytest.fixture
def make_project():
    """Returns a factory of projects (with a home beside it) owned by root or nobody."""
    made = []

    def make(nobody=False, base="/tmp", name="my project, v1:2"):
        folder = Path(tempfile.mkdtemp(prefix="gputune-test-", dir=base))
        made.append(folder)
        folder.chmod(0o755)
        tree = folder / name
        tree.mkdir()
        (folder / "home").mkdir()
        fill(tree)
        if nobody:
            for path in [folder, *folder.rglob("*")]:
                os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
        return tree

    yield make
    for folder in made:
        shutil.rmtree(folder)


@pytest.fixture
def drive():
    """Returns a function that runs a command in the sandbox in a process of its own; see drive.py."""

    def run(argv, cwd, nobody=False, announce=False, **options):
        request = {"argv": [str(item) for item in argv], "cwd": str(cwd), "nobody": nobody, **options}
        request["interpreter_roots"] = [os.path.dirname(os.path.dirname(sys.base_exec_prefix))]
        environment = {**os.environ, "HOME": str(Path(cwd).parent / "home"), "PYTHONDONTWRITEBYTECODE": "1"}
        environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        environment["PWD"] = str(cwd)
        if announce:
            environment["announce"] = "1"
        process = subprocess.Popen(
            [sys.executable, str(DRIVE), json.dumps(request)],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        if announce:
            return process
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        answer = json.loads(out)
        return SimpleNamespace(**answer, output=err)

    return run
