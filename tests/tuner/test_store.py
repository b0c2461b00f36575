"""Stored runs are found by path, id prefix or `last`."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import run_factory as factory

from gputune import record, store
from gputune.errors import RecordError


@pytest.fixture
def results(tmp_path: Path) -> Path:
    for number, day in enumerate(("20261122", "20261124", "20261123")):
        run = factory.run(
            id=f"{day}-train", created_at=f"2026-11-{day[-2:]}T10:00:0{number}+00:00", proof=None, trials=[]
        )
        record.save(run, tmp_path / f"{day}-train")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.json").write_text("{")
    (tmp_path / "unrelated").mkdir()
    return tmp_path


def test_runs_are_listed_oldest_first_and_broken_ones_with_their_problem(results: Path) -> None:
    stored = store.runs(results)
    assert [run.path.name for run in stored] == [
        "broken",
        "20261122-train",
        "20261123-train",
        "20261124-train",
    ]
    assert stored[0].head is None
    assert stored[0].problem


def test_last_is_the_newest_readable_run(results: Path) -> None:
    assert store.resolve("last", results).name == "20261124-train"


def test_a_prefix_that_fits_one_run_is_enough(results: Path) -> None:
    assert store.resolve("20261123", results).name == "20261123-train"


def test_a_path_wins_over_a_prefix(results: Path) -> None:
    assert record.load(store.resolve(str(results / "20261122-train"), results)).id == "20261122-train"
    file = results / "20261122-train" / "run.json"
    assert store.resolve(str(file), results) == file


def test_an_exact_id_wins_over_a_longer_one_that_begins_with_it(results: Path) -> None:
    record.save(msgspec.structs.replace(factory.no_loader(), id="20261123-train-2"), results / "20261123-train-2")
    assert store.resolve("20261123-train", results).name == "20261123-train"


@pytest.mark.parametrize(
    ("reference", "said"), [("2026", "3 runs begin with '2026'"), ("1999", "no stored run begins with")]
)
def test_ambiguous_and_unknown_references_are_refused_by_name(results: Path, reference: str, said: str) -> None:
    with pytest.raises(RecordError, match=said):
        store.resolve(reference, results)


def test_an_empty_store_says_how_to_fill_it(tmp_path: Path) -> None:
    with pytest.raises(RecordError) as caught:
        store.resolve("last", tmp_path / "results")
    assert "gputune profile" in caught.value.hint
