"""A search goes on when its journal cannot be written any more."""

from __future__ import annotations

import resource
import signal

import optuna
import pytest

from gputune.journal import open_journal


@pytest.fixture
def small_files(monkeypatch):
    """Files of this process may have a few kilobytes only: writing beyond fails as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, ignored)


def test_a_study_whose_disk_is_full_goes_on_in_memory(tmp_path, small_files):
    study = optuna.create_study(storage=open_journal(tmp_path, "study.journal"))
    study.optimize(lambda trial: trial.suggest_int("workers", 0, 8), n_trials=30)
    assert len(study.trials) == 30
    assert study.best_value == min(trial.value for trial in study.trials)
    assert (tmp_path / "study.journal").stat().st_size <= 4096


def test_a_folder_that_cannot_be_made_keeps_the_study_in_memory(tmp_path):
    (tmp_path / "file").write_text("")
    study = optuna.create_study(storage=open_journal(tmp_path / "file" / "folder", "study.journal"))
    study.optimize(lambda trial: trial.suggest_int("workers", 0, 8), n_trials=2)
    assert len(study.trials) == 2
