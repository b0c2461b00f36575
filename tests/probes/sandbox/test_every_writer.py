"""The acceptance of the sandbox: every file, through every writer, as root and as an ordinary user."""

from __future__ import annotations

import os
import sys

import pytest
from project_tree import NOBODY, add_library_files

WRITERS = {
    "open": "", "torch.save": "torch", "tensorboard": "tensorboard", "h5py": "h5py", "safetensors": "safetensors",
    "opencv": "cv2", "sqlite3": "", "child": "", "worker": "torch",
}  # fmt: skip


@pytest.mark.parametrize("writer", WRITERS)
def test_a_writer_that_changes_every_file_has_changed_none(
    drive, make_project, user, picture, targets, assert_nothing_left, writer
):
    if WRITERS[writer]:
        pytest.importorskip(
            WRITERS[writer], reason=f"{WRITERS[writer]} is not installed: pip install 'gputune[faults]'"
        )
    tree = make_project(user)
    add_library_files(tree, nobody=user)
    before = picture(tree.parent)

    result = drive([sys.executable, targets / "vandal_writers.py", writer], tree, nobody=user, mode="overlay")

    assert result.status == 0, result.output
    assert f"changed 7 files as {NOBODY if user else os.getuid()}" in result.output
    assert picture(tree.parent) == before
    assert_nothing_left(result.confinement["scratch"])
