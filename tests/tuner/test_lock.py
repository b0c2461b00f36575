from __future__ import annotations

import os
import subprocess
import sys

import pytest

from gputune import lock
from gputune.errors import InconclusiveError


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_a_second_campaign_is_refused_and_the_first_is_named():
    with lock.campaign():
        done = subprocess.run(
            [sys.executable, "-c", "from gputune import lock\nwith lock.campaign(): print('in')"],
            capture_output=True, text=True, env=dict(os.environ),
        )  # fmt: skip
        assert "InconclusiveError" in done.stderr
        assert f"process {os.getpid()}" in done.stderr


def test_the_lock_is_free_again_afterwards_and_after_a_crash():
    code = "import os\nfrom gputune import lock\nwith lock.campaign(): os._exit(1)"
    subprocess.run([sys.executable, "-c", code], env=dict(os.environ))
    for _ in range(2):
        with lock.campaign():
            pass


def test_without_a_writable_cache_there_is_nothing_to_lock(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    with lock.campaign():
        pass


def test_the_folder_is_private(tmp_path):
    assert (lock.cache_folder().stat().st_mode & 0o077) == 0


def test_the_refusal_says_what_to_do():
    with lock.campaign(), pytest.raises(InconclusiveError) as caught, lock.campaign():
        pass
    assert "wait for it to end" in caught.value.hint


def test_another_machine_that_shares_the_home_is_not_locked_out(monkeypatch):
    with lock.campaign():
        monkeypatch.setattr(lock, "_machine", lambda: "another")
        with lock.campaign():
            pass
