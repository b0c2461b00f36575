"""Scripts that do not behave: measured all the same, or ended with one clear line, and buried with all they started."""

from __future__ import annotations

import pytest

from gputune.record import Status

ONLY_MEASURE = "--no-search"


@pytest.mark.parametrize(
    ("how", "fault"),
    [
        ("catches-everything", "script that catches BaseException"),
        ("own-handlers", "script with signal handlers of its own"),
        ("daemons", "script that forks daemons which ignore signals"),
        ("prints", "script that prints 100 MB"),
    ],
)
def test_a_script_that_gets_in_the_way_is_measured_and_ended(scene, how, fault):
    assert scene.profile(how, ONLY_MEASURE) == 0, scene.err
    run = scene.run()
    assert run.status is Status.COMPLETE
    assert run.ceiling is not None
    if how == "prints":
        (log,) = scene.results.glob("*/script-1.log")
        assert log.stat().st_size <= 8 << 20
    scene.survived(fault, "would run")


@pytest.mark.parametrize(
    ("how", "fault", "words"),
    [
        ("os-exit", "script that calls os._exit(3) in mid-run", "failed with exit status 3"),
        ("segfault", "script that crashes (SIGSEGV)", "failed with exit status 139"),
    ],
)
def test_a_script_that_ends_itself_is_reported_with_its_status(scene, how, fault, words):
    assert scene.profile(how, ONLY_MEASURE) == 4, scene.err
    assert scene.run().status is Status.SCRIPT_FAILED
    scene.survived(fault, words)


def test_a_script_that_fills_the_scratch_disk_is_ended_at_the_limit(scene):
    assert scene.profile("fills-scratch", ONLY_MEASURE, "--scratch-limit", "100M") == 4, scene.err
    run = scene.run()
    assert run.status is Status.SCRIPT_FAILED
    assert 100 << 20 < run.written_bytes < 400 << 20
    scene.survived("script that fills the scratch disk", "the limit is")


def test_a_script_may_fill_at_most_half_of_what_is_free(scene, private_mounts):
    wrap = private_mounts(f"mount -t tmpfs -o size=160m none {scene.folder}/tmp")
    assert scene.profile("fills-temporary", ONLY_MEASURE, wrap=wrap) == 4, scene.err
    scene.survived("script that fills a disk smaller than the limit", "the limit is 80 MiB")
