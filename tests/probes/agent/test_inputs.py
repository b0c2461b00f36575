from __future__ import annotations

import sys
import types
from pathlib import Path

from gputune.probes.agent import inputs


class Dataset:
    def __init__(self, **attributes) -> None:
        self.__dict__.update(attributes)

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> int:
        return index


def names(dataset) -> list[str]:
    return [Path(file.path).name for file in inputs.data_files(dataset)]


def test_files_and_folders_that_attributes_name_are_found_with_size_and_time(tmp_path):
    file = tmp_path / "train.bin"
    file.write_bytes(b"123")
    found = inputs.data_files(Dataset(root=str(tmp_path), file=file, split="train", length=3))
    assert [(f.path, f.modified_s) for f in found] == [(str(p), p.stat().st_mtime) for p in (tmp_path, file)]
    assert found[1].bytes == 3


def test_lists_of_paths_and_of_pairs_and_wrapped_datasets_are_looked_through(tmp_path):
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (tmp_path / name).write_bytes(b"")
    pairs = Dataset(samples=[(str(tmp_path / "a.jpg"), 0), (str(tmp_path / "b.jpg"), 1)])
    assert names(Dataset(dataset=pairs, extra=[str(tmp_path / "c.jpg")])) == ["a.jpg", "b.jpg", "c.jpg"]
    assert names(Dataset(parts=[pairs])) == ["a.jpg", "b.jpg"]


def test_many_files_are_sampled_and_what_is_no_file_is_passed_over(tmp_path):
    files = [tmp_path / f"{n:04}" for n in range(1000)]
    for file in files:
        file.touch()
    assert len(names(Dataset(files=files))) == inputs.MOST_FILES
    assert names(Dataset(a="no/such/file", b="nul\0byte/x", c=b"bytes", d=None, e=("x", 1))) == []
    assert names(object()) == []


def test_modules_beside_the_script_are_its_own_and_libraries_are_not(tmp_path, monkeypatch):
    script = tmp_path / "train.py"
    script.write_text("")
    monkeypatch.setattr(sys.modules["__main__"], "__file__", str(script))
    (tmp_path / "helper.py").write_text("")
    helper = types.ModuleType("helper")
    helper.__file__ = str(tmp_path / "helper.py")
    monkeypatch.setitem(sys.modules, "helper", helper)
    monkeypatch.chdir(tmp_path)
    found = inputs.own_modules()
    assert found == [str(tmp_path / "helper.py"), str(script)]
