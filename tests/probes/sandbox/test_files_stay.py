"""The promise: whatever the script does, the user's tree is byte-identical afterwards."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest


def test_a_script_that_destroys_everything_destroys_nothing(
    drive, make_project, user, place, picture, targets, assert_nothing_left
):
    tree = make_project(user, place)
    before = picture(tree.parent)

    result = drive([sys.executable, targets / "vandal.py", "3"], tree, nobody=user, mode="overlay")

    assert result.status == 3, result.output
    assert f"vandalised {tree} as {65534 if user else os.getuid()}" in result.output
    assert picture(tree.parent) == before
    assert_nothing_left(result.confinement["scratch"])
    assert result.confinement["mode"] == "overlay"


def test_what_was_written_is_listed_with_its_fate(drive, make_project, user, targets):
    tree = make_project(user)

    result = drive([sys.executable, targets / "vandal.py"], tree, nobody=user, mode="overlay")

    fate = {entry["path"]: entry for entry in result.ended["written"]}
    name = str(tree)
    assert fate[f"{name}/checkpoint.pt"]["action"] == "changed"
    assert fate[f"{name}/checkpoint.pt"]["bytes"] > 4000
    assert fate[f"{name}/copy.pt"]["action"] == "created"
    assert fate[f"{name}/gone.txt"]["action"] == "deleted"
    assert fate[f"{name}/doomed"]["action"] == "deleted"
    child = f"{name}/new/deep/child, of: a shell.txt"
    assert fate[child] == {
        "path": child, "action": "created", "bytes": 6, "renamed_from": "",
    }  # fmt: skip
    assert fate[f"{tree.parent}/home/.vandal"]["action"] == "created"
    assert result.ended["files"] == len(fate)
    assert result.ended["bytes"] == sum(entry["bytes"] for entry in fate.values())


def test_a_renamed_file_is_not_reported_as_written_anew(drive, make_project, user):
    tree = make_project(user)

    result = drive(["mv", "log.csv", "log old.csv"], tree, nobody=user, mode="overlay")

    assert [(entry["path"], entry["action"], entry["renamed_from"]) for entry in result.ended["written"]] == [
        (f"{tree}/log old.csv", "renamed", f"{tree}/log.csv")
    ]


def test_a_directory_made_anew_lists_what_it_no_longer_holds(drive, make_project):
    tree = make_project()

    result = drive(["sh", "-c", "rm -r doomed; mkdir -p doomed/a; echo > doomed/a/new"], tree, mode="overlay")

    fate = {entry["path"]: entry["action"] for entry in result.ended["written"]}
    assert fate[f"{tree}/doomed/a/b.txt"] == "deleted"
    assert fate[f"{tree}/doomed/a/new"] == "created"


def test_a_working_directory_reached_through_a_link_keeps_its_name(drive, make_project, user, picture):
    tree = make_project(user)
    link = tree.parent / "by link"
    link.symlink_to(tree)
    before = picture(tree)

    result = drive(["sh", "-c", "echo x >> log.csv; pwd"], link, nobody=user, mode="overlay")

    assert str(link) in result.output
    assert picture(tree) == before


def test_a_script_in_the_home_directory_is_protected(drive, make_project, user, picture):
    tree = make_project(user)
    home = tree.parent / "home"
    before = picture(tree.parent)

    result = drive(["sh", "-c", "echo x > new; cat new"], home, nobody=user, mode="overlay", env={"HOME": str(home)})

    assert result.status == 0, result.output
    assert picture(tree.parent) == before


def test_a_directory_named_by_an_argument_is_protected(drive, make_project, user, picture):
    tree = make_project(user)
    other = tree.parent / "elsewhere"
    other.mkdir()
    if user:
        os.chown(other, 65534, 65534)
    before = picture(tree.parent)

    result = drive(["sh", "-c", 'echo x > "${1#--out=}/f"', "sh", f"--out={other}"], tree, nobody=user, mode="overlay")

    assert result.status == 0, result.output
    assert picture(tree.parent) == before
    assert [entry["path"] for entry in result.ended["written"]] == [f"{other}/f"]


def test_caches_and_paths_kept_writable_are_used_for_real(drive, make_project, user):
    tree = make_project(user)
    for name in ("cache", "results"):
        (tree / name).mkdir()
        if user:
            os.chown(tree / name, 65534, 65534)

    result = drive(
        ["sh", "-c", "echo x > cache/model; echo y > results/r; echo z > log.csv"], tree, nobody=user,
        mode="overlay", passthrough=[str(tree / "cache")], keep_writable=[str(tree / "results")],
    )  # fmt: skip

    assert result.status == 0, result.output
    assert (tree / "cache/model").read_text() == "x\n"
    assert (tree / "results/r").read_text() == "y\n"
    assert (tree / "log.csv").read_text().startswith("step")


def test_a_cache_variable_that_names_the_project_does_not_unprotect_it(drive, make_project, user, picture):
    tree = make_project(user)
    before = picture(tree)

    drive(
        ["sh", "-c", "echo x > log.csv"],
        tree,
        nobody=user,
        mode="overlay",
        passthrough=[str(tree), str(tree.parent), "/"],
    )

    assert picture(tree) == before


def test_sockets_of_other_programs_stay_reachable(drive, make_project, user):
    import socket

    tree = make_project(user)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{tree}/s")
        os.chmod(f"{tree}/s", 0o777)
        server.listen()
        code = "import socket; s = socket.socket(socket.AF_UNIX); s.connect('s'); print('connected')"
        result = drive([sys.executable, "-S", "-c", code], tree, nobody=user, mode="overlay")

    assert "connected" in result.output


def test_temporary_files_go_with_the_probe(drive, make_project, user):
    tree = make_project(user)

    result = drive(["sh", "-c", "echo x > $TMPDIR/t; echo dir:$TMPDIR"], tree, nobody=user, mode="overlay")

    folder = result.output.partition("dir:")[2].split()[0]
    assert folder.startswith(result.confinement["scratch"])
    assert not Path(folder).exists()


def test_a_project_of_a_foreign_group_is_safe_and_its_limits_are_announced(drive, make_project, picture):
    if os.geteuid() != 0:
        pytest.skip("only root can give files to another group")
    tree = make_project(nobody=True)
    for path in (tree, tree / "log.csv"):
        os.chown(path, -1, 0)
        path.chmod(0o777)
    before = picture(tree)

    result = drive(["sh", "-c", "echo x >> log.csv"], tree, nobody=True, mode="overlay")

    assert picture(tree) == before
    assert any("belongs to another user or group" in note for note in result.confinement["notes"])


@pytest.fixture
def disk(make_project, user):
    """A file system of its own inside a project."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount")
    folder = make_project(user) / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", folder], check=True)
    (folder / "data").write_text("precious")
    for path in (folder, folder / "data") if user else ():
        os.chown(path, 65534, 65534)
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_project_on_a_file_system_of_its_own_is_protected(drive, disk, user):
    result = drive(["sh", "-c", "cat data; echo x > data; cat data"], disk, nobody=user, mode="overlay")

    assert (disk / "data").read_text() == "precious"
    assert result.output == "preciousx\n", result.confinement


def test_a_file_system_mounted_inside_the_project_is_protected(drive, disk, user):
    command = "cat disk/data; echo x > disk/data; cat disk/data; echo y >> log.csv"

    result = drive(["sh", "-c", command], disk.parent, nobody=user, mode="overlay")

    assert (disk / "data").read_text() == "precious"
    assert (disk.parent / "log.csv").read_text() == "step,loss\n1,0.5\n"
    assert result.output.startswith("preciousx\n"), (result.output, result.confinement)
    # The kernel lets nobody but root lay an overlay around a mount: writes beside it fail, which is said.
    assert bool(result.status) == user
    assert any("read-only" in note for note in result.confinement["notes"]) == user


def test_descriptors_and_standard_streams_pass_through(make_project):
    from gputune.probes.sandbox import plan

    tree = make_project()
    read_end, write_end = os.pipe()
    out_read, out_write = os.pipe()
    code = f"import os; os.write({write_end}, b'hello'); print(input()[::-1])"
    in_read, in_write = os.pipe()
    os.write(in_write, b"abc\n")
    os.close(in_write)
    keeper = plan.launch(
        [sys.executable, "-S", "-c", code],
        cwd=tree,
        env=os.environ,
        pass_fds=[write_end],
        stdin=in_read,
        stdout=out_write,
    )
    for descriptor in (write_end, out_write, in_read):
        os.close(descriptor)

    assert keeper.wait(30) == 0
    assert os.read(read_end, 100) == b"hello"
    assert os.read(read_end, 100) == b""  # nobody but the command held the other end
    assert os.read(out_read, 100) == b"cba\n"
    os.close(read_end)
    os.close(out_read)


def test_no_descriptor_of_the_keeper_reaches_the_command(drive, make_project, user):
    tree = make_project(user)
    code = "import os; print(sorted(os.listdir('/proc/self/fd')))"

    result = drive([sys.executable, "-S", "-c", code], tree, nobody=user, mode="overlay")

    assert result.output.strip() == str(["0", "1", "2", "3"])  # 3 lists the directory


def test_two_probes_of_one_project_do_not_meet(drive, make_project, picture):
    tree = make_project()
    before = picture(tree)
    results = []
    command = ["sh", "-c", "echo mine >> log.csv; sleep 0.5; cat log.csv"]
    threads = [threading.Thread(target=lambda: results.append(drive(command, tree, mode="overlay"))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [result.output.count("mine") for result in results] == [1, 1]
    assert picture(tree) == before
