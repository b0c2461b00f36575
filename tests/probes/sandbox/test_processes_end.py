"""Nothing a probe started outlives it, and the command's own ending is told truthfully."""

import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest

ESCAPES = {
    "a daemon": "setsid sleep 300 &",
    "a double fork": "(setsid sh -c 'sleep 300 & sleep 300 &' &) ; sleep 0.1;",
    "a daemon with an empty environment": "env -i setsid sleep 300 &",
    "one that ignores SIGTERM": "setsid sh -c \"trap '' TERM HUP INT; while :; do sleep 0.05; done\" &",
}


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def sleepers(folder):
    """Processes whose working directory is (or was) the given one."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(process / "cwd").startswith(str(folder)) and alive(process.name):
                found.append((process.name, (process / "cmdline").read_bytes()))
        except OSError:
            continue  # another user's, or gone
    return found


@pytest.mark.parametrize("escape", ESCAPES.values(), ids=ESCAPES.keys())
def test_what_the_command_leaves_running_is_ended(drive, make_project, assert_nothing_left, escape):
    tree = make_project()

    result = drive(["sh", "-c", f"{escape} exit 5"], tree)

    assert result.status == 5
    assert result.ended["killed"] >= 1
    assert result.ended["left"] == []
    assert sleepers(tree) == []
    assert_nothing_left(result.confinement["scratch"])


def test_a_helper_that_ends_by_itself_is_given_the_time(drive, make_project):
    tree = make_project()
    (tree / "out").mkdir()

    result = drive(["sh", "-c", "(sleep 0.4; echo tidy > out/end) & exit 0"], tree, keep_writable=[str(tree / "out")])

    assert result.ended["killed"] == 0
    assert (tree / "out/end").read_text() == "tidy\n"


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        ("raise SystemExit(42)", 42),
        ("os._exit(7)", 7),
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("os.kill(os.getpid(), signal.SIGSEGV)", -signal.SIGSEGV),
        ("os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
        ("pass", 0),
    ],
)
def test_the_status_is_exactly_that_of_the_command(drive, make_project, ending, status, assert_nothing_left):
    tree = make_project()

    result = drive([sys.executable, "-S", "-c", f"import os, signal; {ending}"], tree)

    assert result.status == status
    assert result.keeper_status == status
    assert_nothing_left(result.confinement["scratch"])


def test_stopping_lets_the_command_end_in_its_own_way(drive, make_project):
    tree = make_project()

    result = drive(["sh", "-c", "trap 'exit 9' TERM; while :; do sleep 0.05; done"], tree, stop_after_s=0.3, grace_s=20)

    assert result.status == 9
    assert result.ended["reason"] == "stopped"
    assert result.seconds < 10


def test_stopping_ends_a_command_that_ignores_every_signal(drive, make_project, assert_nothing_left):
    tree = make_project()
    code = (
        "import signal, os, time\n"
        "for number in range(1, 32):\n"
        "    if number not in (9, 19): signal.signal(number, signal.SIG_IGN)\n"
        "os.fork()\n"
        "while True:\n"
        "    try: time.sleep(1)\n"
        "    except BaseException: pass\n"
    )

    result = drive([sys.executable, "-S", "-c", code], tree, stop_after_s=0.5, grace_s=0.5)

    assert result.status == -signal.SIGKILL
    assert 0.4 < result.seconds < 10
    assert sleepers(tree) == []
    assert_nothing_left(result.confinement["scratch"])


def start_announced(drive, tree, command):
    process = drive(["sh", "-c", command], tree, announce=True)
    return process, json.loads(process.stdout.readline())


def wait_until(condition, seconds=15.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "still not true"
        time.sleep(0.02)


def close(process):
    process.wait()
    process.stdout.close()
    process.stderr.close()


def test_when_the_tuner_is_killed_everything_ends(drive, make_project, picture, assert_nothing_left):
    tree = make_project()
    before = picture(tree)
    process, names = start_announced(
        drive, tree, "echo x > log.csv; setsid sleep 300 & trap '' TERM; sleep 300; sleep 300"
    )

    process.kill()

    close(process)
    wait_until(lambda: not alive(names["keeper"]))
    assert sleepers(tree) == []
    assert picture(tree) == before
    assert_nothing_left(names["scratch"])


def test_when_the_keeper_is_killed_the_tuner_cleans_up(drive, make_project, assert_nothing_left):
    tree = make_project()
    process, names = start_announced(drive, tree, "setsid sleep 300 & sleep 300; sleep 300")

    os.kill(names["keeper"], signal.SIGKILL)

    out, err = process.communicate(timeout=30)
    assert json.loads(out)["ended"]["reason"] == "keeper_killed", err
    assert sleepers(tree) == []
    assert_nothing_left(names["scratch"])


def test_when_both_are_killed_the_next_run_cleans_up(drive, make_project, assert_nothing_left):
    from gputune.probes.sandbox import scratch

    tree = make_project()
    process, names = start_announced(drive, tree, "setsid sleep 300 & sleep 300; sleep 300")
    os.kill(names["keeper"], signal.SIGSTOP)
    process.kill()
    os.kill(names["keeper"], signal.SIGKILL)
    close(process)
    wait_until(lambda: not alive(names["keeper"]))
    assert Path(names["scratch"]).exists()

    assert names["scratch"] in scratch.sweep_stale()

    assert sleepers(tree) == []
    assert_nothing_left(names["scratch"])


def test_the_next_run_leaves_the_scratch_space_of_a_living_probe_alone(drive, make_project):
    from gputune.probes.sandbox import scratch

    tree = make_project()
    process, names = start_announced(drive, tree, "sleep 2")
    try:
        assert names["scratch"] not in scratch.sweep_stale()
        assert Path(names["scratch"]).exists()
    finally:
        process.kill()
        close(process)
    wait_until(lambda: not alive(names["keeper"]))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_signals_to_the_keeper_reach_the_command(make_project, number):
    from gputune.probes.sandbox import plan

    tree = make_project()
    read_end, write_end = os.pipe()
    code = (
        "import signal, os, time\n"
        f"signal.signal({int(number)}, lambda number, frame: os._exit(100 + number))\n"
        f"os.write({write_end}, b'ready')\n"
        "while True: time.sleep(1)\n"
    )
    keeper = plan.launch([sys.executable, "-S", "-c", code], cwd=tree, env=os.environ, pass_fds=[write_end])
    os.close(write_end)
    assert os.read(read_end, 5) == b"ready"
    os.close(read_end)

    os.kill(keeper.pid, number)

    assert keeper.wait(20) == 100 + number


def test_a_script_that_fills_the_scratch_space_is_stopped(drive, make_project, assert_nothing_left):
    tree = make_project()
    code = "f = open('big', 'wb')\nimport time\nwhile True: f.write(bytes(1 << 20)); f.flush(); time.sleep(0.01)"

    result = drive([sys.executable, "-S", "-c", code], tree, scratch_limit_bytes=8 << 20)

    assert result.status == -signal.SIGKILL
    assert result.ended["reason"].startswith("scratch_limit: the script wrote")
    assert not (tree / "big").exists()
    assert_nothing_left(result.confinement["scratch"])


def test_directories_made_unreadable_do_not_stay_behind(drive, make_project, user, assert_nothing_left):
    tree = make_project(user)

    result = drive(
        ["sh", "-c", "mkdir -p a/b; echo > a/b/c; chmod 0 a/b a; mkdir $TMPDIR/x; chmod 0 $TMPDIR/x"],
        tree,
        nobody=user,
    )

    assert result.ended["not_removed"] == []
    assert_nothing_left(result.confinement["scratch"])


def test_a_command_that_does_not_exist_is_named(drive, make_project):
    assert drive(["no-such-command"], make_project()).error == (
        "CommandNotStarted: cannot run no-such-command: No such file or directory"
    )


def test_shared_memory_of_killed_workers_is_removed(drive, make_project):
    tree = make_project()
    code = "import os, time; open(f'/dev/shm/torch_{os.getpid()}_1_0', 'w').write('x'); time.sleep(300)"

    result = drive([sys.executable, "-S", "-c", code], tree, stop_after_s=0.5, grace_s=0)

    assert result.status == -signal.SIGKILL
    assert list(Path("/dev/shm").glob(f"torch_{result.confinement['target_pid']}_*")) == []


def test_a_foreign_segment_in_shared_memory_is_left_alone():
    from gputune.probes.sandbox import leftovers

    mine = Path(f"/dev/shm/torch_{os.getpid()}_77_0")
    mine.write_text("in use")
    try:
        assert leftovers.remove_shared_memory({os.getpid()}) == []
        assert mine.exists()
    finally:
        mine.unlink()


def test_the_start_takes_milliseconds(make_project):
    """The budget is 50 ms on a quiet machine (benchmarks/sandbox.py); here only that it is no second."""
    from gputune.probes.sandbox import plan

    tree = make_project()
    started = []
    for _ in range(3):
        with plan.launch(["true"], cwd=tree, env=os.environ) as keeper:
            started.append(keeper.confinement.setup_s)
    assert min(started) < 0.25


def test_a_probe_from_a_thread_outlives_the_thread(make_project):
    """The parent-death signal is sent when the starting thread ends; that must stop nothing."""
    import threading

    from gputune.probes.sandbox import plan

    tree = make_project()
    found = []
    thread = threading.Thread(
        target=lambda: found.append(plan.launch(["sh", "-c", "sleep 0.6; exit 4"], cwd=tree, env=os.environ))
    )
    thread.start()
    thread.join()

    assert found[0].wait(20) == 4
