"""Where private mounts are forbidden: denied writes, a copy of the project, or a refusal."""

import os
import sys

import pytest


def test_landlock_denies_every_writer(drive, make_project, user, picture, targets, assert_nothing_left):
    tree = make_project(user)
    before = picture(tree.parent)

    result = drive([sys.executable, targets / "vandal.py"], tree, nobody=user, mode="landlock")

    assert result.status != 0
    assert "Permission denied" in result.output  # torch.save, the first writer
    assert picture(tree.parent) == before
    assert result.confinement["mode"] == "landlock"
    assert "a write there fails" in result.confinement["notes"][0]
    assert_nothing_left(result.confinement["scratch"])


@pytest.mark.parametrize(
    "command",
    [
        "echo x >> log.csv", ": > log.csv", "rm log.csv", "mv log.csv other", "mkdir x", "ln -s a b",
        "ln log.csv l", "mkfifo p", "rm -r doomed", "sqlite3 runs.db 'insert into runs values (2)'",
        "truncate -s 0 log.csv", "echo x > ../home/file",
    ],
)  # fmt: skip
def test_landlock_denies(drive, make_project, picture, command):
    tree = make_project()
    before = picture(tree.parent)

    result = drive(["sh", "-c", command], tree, mode="landlock")

    assert result.status != 0
    assert picture(tree.parent) == before


def test_under_landlock_loaders_and_temporary_files_work(drive, make_project, user):
    tree = make_project(user)
    code = (
        "import tempfile, torch\n"
        "tempfile.NamedTemporaryFile().write(b'x')\n"
        "torch.save(1, tempfile.mkdtemp() + '/c.pt')\n"
        "print(sum(len(b) for b in torch.utils.data.DataLoader(torch.arange(8), 2, num_workers=2)))\n"
    )

    result = drive([sys.executable, "-c", code], tree, nobody=user, mode="landlock")

    assert (result.status, result.output.strip()) == (0, "8"), result.output


def test_a_copy_takes_the_writes(drive, make_project, user, picture, targets, assert_nothing_left):
    tree = make_project(user)
    home = tree.parent / "home"
    before = picture(tree)

    command = ["sh", "-c", "echo x >> log.csv; rm gone.txt; echo abc > new; pwd"]
    result = drive(command, tree, nobody=user, mode="copy", env={"HOME": str(home)})

    assert result.status == 0, result.output
    assert picture(tree) == before
    fate = {entry["path"]: entry["action"] for entry in result.ended["written"]}
    assert fate == {f"{tree}/log.csv": "changed", f"{tree}/gone.txt": "deleted", f"{tree}/new": "created"}
    assert result.output.strip().startswith(result.confinement["scratch"])
    assert_nothing_left(result.confinement["scratch"])


def test_in_a_copy_absolute_arguments_point_at_the_copy(drive, make_project, picture):
    tree = make_project()
    before = picture(tree)

    result = drive(["sh", "-c", 'echo x > "$1"; cat "$1"', "sh", str(tree / "log.csv")], tree, mode="copy")

    assert result.output == "x\n"
    assert picture(tree) == before


def test_a_project_too_large_to_copy_is_refused(make_project, tmp_path):
    from gputune.probes.sandbox import treecopy

    tree = make_project()

    with pytest.raises(OSError, match="would take more than"):
        treecopy.copy_tree(str(tree), str(tmp_path / "copy"), limit_bytes=10)


def test_without_protection_writes_are_real_and_that_is_said(drive, make_project):
    tree = make_project()

    result = drive(["sh", "-c", "echo x > log.csv; echo ${TMPDIR:-unset}"], tree, mode="none")

    assert (tree / "log.csv").read_text() == "x\n"
    assert result.confinement["mode"] == "none"
    assert ".gputune-" not in result.output


FORBID_NAMESPACES = """
import ctypes, os, struct, sys
BPF = [(0x20, 0, 0, 0), (0x15, 0, 1, {unshare}), (6, 0, 0, 0x00050001), {landlock} (6, 0, 0, 0x7fff0000)]
code = b"".join(struct.pack("<HBBI", *line) for line in BPF)
buffer = ctypes.create_string_buffer(code)
program = struct.pack("<HxxxxxxQ", len(BPF), ctypes.addressof(buffer))
libc = ctypes.CDLL(None)
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, program) == 0
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
"""A seccomp filter as Docker's default one: unshare (on demand also landlock_create_ruleset) fails."""


@pytest.mark.parametrize(
    ("landlock", "mode"), [("", "landlock"), ("(0x15, 0, 1, 444), (0x06, 0, 0, 0x00050026),", "copy")]
)
def test_where_namespaces_are_forbidden_the_next_best_is_taken_and_named(
    make_project, tmp_path, picture, landlock, mode
):
    import json
    import subprocess
    from pathlib import Path

    if os.uname().machine != "x86_64":
        pytest.skip("the filter names system calls by their x86-64 numbers")
    tree = make_project()
    before = picture(tree)
    wrapper = tmp_path / "forbid.py"
    wrapper.write_text(FORBID_NAMESPACES.format(unshare=272, landlock=landlock))
    request = json.dumps({"argv": ["sh", "-c", "echo x > log.csv"], "cwd": str(tree)})
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}

    done = subprocess.run(
        [sys.executable, wrapper, Path(__file__).with_name("drive.py"), request],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip

    confinement = json.loads(done.stdout)["confinement"]
    assert confinement["mode"] == mode
    assert "private mounts: unshare: Operation not permitted" in confinement["reason"]
    assert picture(tree) == before
