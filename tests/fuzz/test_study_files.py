"""A study in a file from elsewhere (``--storage sqlite:///...``) is opened or refused in one line."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import optuna
import pytest

from gputune.errors import GputuneError
from gputune.study import Store, Study

pytestmark = pytest.mark.heavy
DAMAGED = 40


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    file = tmp_path_factory.mktemp("study") / "study.db"
    study = Study(Store(url=f"sqlite:///{file}"), optuna.samplers.RandomSampler())
    assert study.trials == []
    return file.read_bytes()


def open_study(file: Path) -> bool:
    try:
        return Study(Store(url=f"sqlite:///{file}"), optuna.samplers.RandomSampler()).trials == []
    except GputuneError as error:
        said = str(error)
    assert said
    assert "\n" not in said
    return False


def test_damaged_study_files_are_opened_or_refused(valid: bytes, tmp_path: Path) -> None:
    source = random.Random(7)
    for number in range(DAMAGED):
        data = bytearray(valid)
        for _ in range(source.choice((1, 20, 500))):
            data[source.randrange(len(data))] = source.randrange(256)
        file = tmp_path / f"{number}.db"
        file.write_bytes(data)
        open_study(file)


@pytest.mark.parametrize("data", [b"\x80\x04K\x01.", b"not a database" * 100, b"SQLite format 3\x00" + bytes(4080)])
def test_what_is_no_study_is_refused(data: bytes, tmp_path: Path) -> None:
    file = tmp_path / "study.db"
    file.write_bytes(data)
    assert not open_study(file)


def test_a_database_of_something_else_is_not_taken_for_a_study(tmp_path: Path) -> None:
    file = tmp_path / "study.db"
    database = sqlite3.connect(file)
    database.execute("create table studies (surprise)")
    database.commit()
    database.close()
    assert not open_study(file)
