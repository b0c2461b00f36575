"""A search goes on when its journal cannot be written any more."""

from __future__ import annotations

import subprocess
import sys

import optuna

from gputune.journal import open_journal

# In a process of its own: the limit holds for every file a process writes, also for what pytest prints into.
FULL = """
import resource, signal, sys
from pathlib import Path
import optuna
from gputune.journal import open_journal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))  # writing beyond fails as on a full disk
study = optuna.create_study(storage=open_journal(Path(sys.argv[1]), "study.journal"))
study.optimize(lambda trial: trial.suggest_int("workers", 0, 8), n_trials=30)
assert len(study.trials) == 30
assert study.best_value == min(trial.value for trial in study.trials)
"""


def test_a_study_whose_disk_is_full_goes_on_in_memory(tmp_path):
    subprocess.run([sys.executable, "-c", FULL, str(tmp_path)], check=True, stderr=subprocess.PIPE, timeout=100)
    assert 0 < (tmp_path / "study.journal").stat().st_size <= 4096


def test_a_folder_that_cannot_be_made_keeps_the_study_in_memory(tmp_path):
    (tmp_path / "file").write_text("")
    study = optuna.create_study(storage=open_journal(tmp_path / "file" / "folder", "study.journal"))
    study.optimize(lambda trial: trial.suggest_int("workers", 0, 8), n_trials=2)
    assert len(study.trials) == 2
