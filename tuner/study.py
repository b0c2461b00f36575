"""The Optuna study behind a search: in memory, in the run's folder, or shared by several identical machines.

Each complete trial carries its burst and the fingerprint of the hardware it was measured on. A machine learns from the
trials of others with its own fingerprint and leaves all others alone. While a trial runs its machine sends heartbeats;
the trial of a machine that is gone is failed by whoever looks next.
"""

from __future__ import annotations

import os
import socket
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import msgspec
import optuna
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage, InMemoryStorage, RDBStorage
from optuna.trial import TrialState, create_trial

from gputune.errors import UsageError
from gputune.journal import open_journal
from gputune.record import Trial

STUDY_NAME = "gputune"
JOURNAL_FILE = "study.journal"
"""Name of the Optuna journal in the run's folder: ``optuna-dashboard study.journal`` shows it."""
HEARTBEAT_S, GRACE_S = 10, 40
"""A machine that has been silent for the second has died; Optuna wants several beats in it."""
DRIVER = "postgresql+psycopg"


class Store(msgspec.Struct, frozen=True, kw_only=True):
    """Where a study is kept."""

    folder: Path | None = None
    """Of the run; ``None`` for memory or a database."""
    url: str = ""
    """A database that several machines share."""
    name: str = STUDY_NAME
    hardware: str = ""
    """Fingerprint of this machine; trials of others are not looked at."""

    def open(self) -> BaseStorage:
        """Return the storage.

        Raises:
            UsageError: the database cannot be reached or its driver is missing.
        """
        if self.url:
            return open_database(self.url)
        return open_journal(self.folder, JOURNAL_FILE) if self.folder is not None else InMemoryStorage()


def open_database(url: str) -> RDBStorage:
    """Return a database storage with heartbeats.

    Raises:
        UsageError: no such database, no driver for it, or it cannot be reached.
    """
    # Heartbeats are experimental in Optuna, and outside of its optimize() ours to send.
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    warnings.filterwarnings("ignore", message="Heartbeat of storage is supposed")
    for plain in ("postgresql://", "postgres://"):
        if url.startswith(plain):
            url = f"{DRIVER}://{url.removeprefix(plain)}"
    with _refusing(url):
        return RDBStorage(url, heartbeat_interval=HEARTBEAT_S, grace_period=GRACE_S, engine_kwargs=_patience(url))


@contextmanager
def _refusing(url: str) -> Iterator[None]:
    """Turn what a database that is missing, damaged or another program's raises into one line."""
    try:
        yield
    except ImportError as error:
        raise UsageError(
            f"--storage {_without_password(url)}: {error.name or error} is missing",
            "install it with: pip install 'gputune[postgresql]'",
        ) from error
    except Exception as error:  # SQLAlchemy, its dialects and Optuna each raise their own
        cause = error.__cause__ or error
        reason = str(cause).strip().splitlines() or [type(cause).__name__]
        raise UsageError(
            f"--storage {_without_password(url)}: {reason[0]}", "example: --storage postgresql://user@host/gputune"
        ) from error


def _patience(url: str) -> dict[str, Any]:
    """Return how long to wait for a database: seconds, not the minutes of its driver."""
    if url.startswith("postgresql"):
        return {"pool_pre_ping": True, "connect_args": {"connect_timeout": 10}}
    return {"connect_args": {"timeout": 20}} if url.startswith("sqlite") else {}


def _without_password(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    user, at, host = rest.rpartition("@")
    return f"{scheme}{separator}{user.partition(':')[0]}{at}{host}"


class Study:
    """One study of one search; what it is told is kept before the next trial is asked for.

    Args:
        store: where it is kept.
        sampler: proposes.
    """

    def __init__(self, store: Store, sampler: BaseSampler) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._store, self._storage = store, store.open()
        with _refusing(store.url) if store.url else nullcontext():
            self._study = optuna.create_study(
                study_name=store.name, storage=self._storage, sampler=sampler, direction="maximize", load_if_exists=True
            )
            self._study.get_trials(deepcopy=False)  # what cannot be read is refused now, not in the middle of a search
        self._host = f"{socket.gethostname()}:{os.getpid()}"
        self._seen: set[int] = set()
        if not store.url:
            self._bury_running()

    @property
    def trials(self) -> list[Any]:
        """Every trial of this hardware, as Optuna freezes them."""
        return [t for t in self._study.trials if t.user_attrs.get("hardware", "") == self._store.hardware]

    @property
    def shared(self) -> bool:
        """Whether other machines may add trials."""
        return bool(self._store.url)

    def add(self, params: dict[str, Any], distributions: dict[str, Any], value: float, **attributes: Any) -> None:
        """Add a trial that was measured already."""
        about = {"hardware": self._store.hardware, "host": self._host, **attributes}
        self._study.add_trial(create_trial(params=params, distributions=distributions, value=value, user_attrs=about))

    def ask(self) -> optuna.trial.Trial:
        """Return a new trial; trials of machines that have died are failed first."""
        if self.shared:
            optuna.storages.fail_stale_trials(self._study)
        trial = self._study.ask()
        trial.set_user_attr("hardware", self._store.hardware)
        trial.set_user_attr("host", self._host)
        return trial

    def tell(self, trial: optuna.trial.Trial, value: float | None = None, state: TrialState | None = None) -> None:
        """Finish a trial."""
        self._seen.add(trial.number)
        self._study.tell(trial, value, state=state)

    def keep(self, trial: optuna.trial.Trial, record: Trial) -> None:
        """Write what was measured beside a trial, for machines that learn from it and for people who look."""
        trial.set_user_attr("why", record.why)
        trial.set_user_attr("phase", record.phase)
        trial.set_user_attr("predicted_samples_per_s", record.predicted_samples_per_s)
        if record.infeasible is not None:
            trial.set_user_attr("infeasible", record.infeasible.reason)
        if self.shared:
            trial.set_user_attr("record", msgspec.json.encode(record).decode())

    def news(self) -> list[Trial]:
        """Return what other machines of the same hardware have finished since the last call."""
        found = []
        for trial in self.trials if self.shared else []:
            if trial.number in self._seen or not trial.state.is_finished():
                continue
            self._seen.add(trial.number)
            if text := trial.user_attrs.get("record"):
                record = msgspec.json.decode(text, type=Trial)
                found.append(msgspec.structs.replace(record, host=str(trial.user_attrs.get("host", ""))))
        return found

    def running(self) -> list[dict[str, Any]]:
        """Return the parameters of trials that other machines are measuring."""
        if not self.shared:
            return []
        under_way = (t for t in self.trials if t.state is TrialState.RUNNING and t.number not in self._seen)
        return [trial.params for trial in under_way if trial.user_attrs.get("host") != self._host and trial.params]

    @contextmanager
    def alive(self, trial: optuna.trial.Trial) -> Iterator[None]:
        """Send heartbeats while the block measures a trial of a shared study."""
        if not self.shared:
            yield
            return
        ended = threading.Event()
        beating = threading.Thread(target=self._beat, args=(trial._trial_id, ended), daemon=True)
        beating.start()
        try:
            yield
        finally:
            ended.set()
            beating.join()

    def _beat(self, trial_id: int, ended: threading.Event) -> None:
        assert isinstance(self._storage, RDBStorage)
        while True:
            self._storage.record_heartbeat(trial_id)
            if ended.wait(HEARTBEAT_S):
                return

    def _bury_running(self) -> None:
        """Fail what was running when an earlier process of this run was killed."""
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self._study.tell(trial.number, state=TrialState.FAIL)
