"""The stand-in script of loader-only checks builds what the user names, or says what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gputune.probes.loader_target import build


@pytest.fixture(autouse=True)
def _module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data_of_a_user.py").write_text(
        "batches = [1, 2]\ndef make(): return batches\nclass Data:\n    make = staticmethod(make)\n"
        "def generator(): yield 1\ndef number(): return 5\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.parametrize("name", ["batches", "make", "Data.make"])
def test_an_object_a_function_and_a_method_give_the_loader(name: str) -> None:
    assert build(f"data_of_a_user:{name}") == [1, 2]


@pytest.mark.parametrize(("name", "kind"), [("generator", "generator"), ("number", "int")])
def test_what_cannot_be_iterated_every_epoch_is_refused(name: str, kind: str) -> None:
    with pytest.raises(SystemExit, match=f"data_of_a_user:{name} gives a {kind}, not a DataLoader"):
        build(f"data_of_a_user:{name}")
