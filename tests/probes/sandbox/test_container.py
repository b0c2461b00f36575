"""A container whose root is itself an overlay: no disk there can take an overlay's writes."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest


@pytest.fixture
def layer():
    if os.geteuid() != 0 or os.uname().machine != "x86_64":
        pytest.skip("only root can build a container here; pivot_root is called by its x86-64 number")
    folder = tempfile.mkdtemp(prefix="gputune-test-", dir="/var/tmp")
    yield folder
    shutil.rmtree(folder)


def run(layer, request):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    script = Path(__file__).with_name("container.py")
    done = subprocess.run(
        [sys.executable, script, layer, json.dumps(request)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def test_writes_are_diverted_to_memory_and_that_is_said(layer, make_project):
    tree = make_project()
    command = "echo x >> log.csv; cat log.csv; rm gone.txt; grep -c overlay /proc/mounts"

    answer, output = run(layer, {"argv": ["sh", "-c", command], "cwd": str(tree)})

    assert answer["status"] == 0, output
    assert output.startswith("step,loss\n1,0.5\nx\n")
    assert answer["confinement"]["mode"] == "overlay"
    assert any("kept in memory" in note for note in answer["confinement"]["notes"])
    fate = {entry["path"]: entry["action"] for entry in answer["ended"]["written"]}
    assert fate == {f"{tree}/log.csv": "changed", f"{tree}/gone.txt": "deleted"}
    # The container's own layer shows every change that reached its disk.
    left = [path for path in Path(layer, "upper").rglob("*") if not path.is_dir() and "__pycache__" not in path.parts]
    assert left == []


def test_the_limit_holds_in_memory_too(layer, make_project):
    tree = make_project()
    code = "f = open('big', 'wb')\nimport time\nwhile True: f.write(bytes(1 << 20)); f.flush(); time.sleep(0.01)"
    request = {"argv": [sys.executable, "-S", "-c", code], "cwd": str(tree), "scratch_limit_bytes": 8 << 20}

    answer, output = run(layer, request)

    assert answer["status"] != 0
    assert "scratch_limit" in answer["ended"]["reason"] or "No space left" in output
    assert not (tree / "big").exists()
