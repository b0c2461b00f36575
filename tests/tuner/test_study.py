"""Several machines share one study: they learn from their own kind, leave others alone, and survive each other's death.

SQLite by default; the same tests run against a real PostgreSQL server where one is installed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState
from simulator.workload import Workload

from gputune import study as studies
from gputune.errors import UsageError
from gputune.probes.settings import Settings
from gputune.record import Trial
from gputune.sampler import ReplaySampler, suggest
from gputune.search import SearchContext, SearchResult, search
from gputune.study import Store, Study

STARVED = Workload(name="starved", cpus=8, fetch_cpu_s=0.05, fetch_io_s=0.25, gpu_s=0.06, user=Settings.make())
LIMIT_S = 30
SERVER_ACCOUNT = "nobody"
"""PostgreSQL refuses to be root."""


@pytest.fixture(scope="session")
def server(tmp_path_factory) -> Iterator[str]:
    """The address of a database of a PostgreSQL server of our own."""
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'gputune[postgresql]'")
    initdb = shutil.which("initdb") or next(map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb")), None)
    if initdb is None:
        pytest.skip("no PostgreSQL server is installed (apt-get install postgresql)")
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("PostgreSQL refuses to run as root, and there is no setpriv to change that")
    # A short path of its own: sockets may not have longer ones, and the server's account has to get there.
    folder = Path(subprocess.run(["mktemp", "-d", "/tmp/pg-XXXXXX"], capture_output=True, text=True).stdout.strip())
    other = []
    if os.geteuid() == 0:
        shutil.chown(folder, SERVER_ACCOUNT)
        other = ["setpriv", f"--reuid={SERVER_ACCOUNT}", "--clear-groups"]
    data, binaries = folder / "data", Path(initdb).resolve().parent
    run = [*other, str(binaries / "initdb"), "-D", str(data), "-U", "gputune", "-A", "trust"]
    subprocess.run(run, check=True, capture_output=True, timeout=120, cwd=folder)
    options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"
    control = [*other, str(binaries / "pg_ctl"), "-D", str(data), "-w", "-l", str(folder / "log"), "-o", options]
    subprocess.run([*control, "start"], check=True, capture_output=True, timeout=120, cwd=folder)
    try:
        yield f"postgresql://gputune@/postgres?host={folder}"
    finally:
        stop = [*other, str(binaries / "pg_ctl"), "-D", str(data), "-m", "immediate", "stop"]
        subprocess.run(stop, capture_output=True, timeout=60, cwd=folder)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.heavy)])
def url(request, tmp_path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'shared.db'}"
    return str(request.getfixturevalue("server"))


@pytest.fixture
def store(url, request) -> Store:
    """A study of this test alone: the server lives longer."""
    return Store(url=url, name=f"gputune-{abs(hash(request.node.name))}", hardware="h100")


def searched(job, store: Store, seed: int = 0) -> tuple[SearchResult, list[Trial]]:
    bench, known = job(STARVED, seed)
    trials: list[Trial] = []
    found = search(
        bench, SearchContext(**known, store=store), lambda e: trials.append(e) if isinstance(e, Trial) else None
    )
    return found, [trial for trial in trials if not trial.host]


def test_a_machine_that_joins_learns_from_its_own_kind_and_measures_less(job, store):
    first, measured = searched(job, store)
    assert measured
    second, still = searched(job, store, seed=1)
    assert len(still) < len(measured)
    assert {trial.settings for trial in second.trials} >= {trial.settings for trial in first.trials}
    assert all(trial.host for trial in second.trials if trial not in still)
    assert second.best is not None
    assert second.best.num_workers >= 3


def test_trials_of_other_hardware_in_the_same_study_are_left_alone(job, store):
    searched(job, store)
    other = Store(url=store.url, name=store.name, hardware="a100")
    found, measured = searched(job, other)
    assert found.trials == measured
    hardware = {trial.user_attrs["hardware"] for trial in _study(store).trials}
    assert hardware == {"h100", "a100"}


def test_what_another_machine_is_measuring_is_not_measured_as_well(job, store, monkeypatch):
    alone, _ = searched(job, Store())
    wanted, space = alone.trials[0].settings, job(STARVED)[1]["space"]
    monkeypatch.setattr(studies.socket, "gethostname", lambda: "elsewhere")
    sampler = ReplaySampler(space)
    elsewhere = Study(store, sampler)
    sampler.offer(wanted)
    assert suggest(elsewhere.ask(), space) == wanted
    monkeypatch.undo()
    _, measured = searched(job, store)
    assert measured
    assert measured[0].settings != wanted


def _study(store: Store) -> optuna.Study:
    return optuna.load_study(study_name=store.name, storage=store.open())


DYING = """
import os, sys, optuna
from gputune import study as studies
studies.HEARTBEAT_S, studies.GRACE_S = 1, 2
store = studies.Store(url=sys.argv[1], name=sys.argv[2], hardware="h100")
study = studies.Study(store, optuna.samplers.RandomSampler())
with study.alive(study.ask()):
    print("measuring", flush=True)
    sys.stdin.read()
"""


@pytest.mark.heavy
def test_a_machine_that_dies_leaves_a_failed_trial_and_not_a_stuck_study(job, store, monkeypatch):
    monkeypatch.setattr(studies, "HEARTBEAT_S", 1)
    monkeypatch.setattr(studies, "GRACE_S", 2)
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(DYING), store.url, store.name],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert child.stdout is not None
    assert child.stdout.readline() == "measuring\n"
    time.sleep(4)  # longer than the grace: only its heartbeats keep it
    study = Study(store, optuna.samplers.RandomSampler(seed=0))
    study.tell(study.ask(), 1.0)
    assert _study(store).trials[0].state is TrialState.RUNNING
    child.kill()
    child.communicate(timeout=LIMIT_S)
    deadline = time.monotonic() + LIMIT_S
    while _study(store).trials[0].state is TrialState.RUNNING and time.monotonic() < deadline:
        time.sleep(0.5)
        study.tell(study.ask(), 1.0)
    assert _study(store).trials[0].state is TrialState.FAIL
    assert searched(job, store)[0].best is not None


def test_trials_that_ran_when_the_tuner_was_killed_are_failed_when_its_run_goes_on(tmp_path):
    store = Store(folder=tmp_path)
    Study(store, optuna.samplers.RandomSampler(seed=0)).ask()
    study = Study(store, optuna.samplers.RandomSampler(seed=0))
    assert [trial.state for trial in study.trials] == [TrialState.FAIL]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense", "--storage nonsense: "),
        ("oracle://u:secret@host/x", "--storage oracle://u@host/x: "),
        ("sqlite:////no/such/folder/x.db", "unable to open"),
        ("postgresql://u:secret@127.0.0.1:9/x", "--storage postgresql"),
    ],
)
def test_a_database_that_cannot_be_had_is_named_without_its_password(url, message):
    with pytest.raises(UsageError) as caught:
        studies.open_database(url)
    assert message in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.hint
