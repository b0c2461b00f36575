"""A finished result is shown again, an interrupted one continued, only while everything it rests on is unchanged."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import msgspec
import pytest
import run_factory as factory

from gputune import reuse
from gputune.errors import RecordError
from gputune.probes.protocol import DataFile, Environment
from gputune.record import Run, Status, save


class Project:
    """A folder with a script, a data file, and a run that rests on both."""

    def __init__(self, folder: Path) -> None:
        self.script, self.data, self.results = folder / "train.py", folder / "data.bin", folder / "results"
        self.script.write_text("print()\n")
        self.data.write_bytes(b"12345")
        self.now = reuse.Now(
            command=["train.py"], cwd=str(folder), options={"budget_s": 90.0, "seed": 0}, machine=factory.MACHINE
        )

    def store(self, name: str, status: Status = Status.COMPLETE, **changes: Any) -> Run:
        stat = self.data.stat()
        environment = Environment(pid=1, python=platform.python_version(), torch=reuse._torch())
        run = msgspec.structs.replace(
            factory.run(), id=name, status=status, command=self.now.command, cwd=self.now.cwd,
            options=self.now.options, machine=self.now.machine, environment=environment,
            sources=reuse.hashes([str(self.script)]),
            data=[DataFile(path=str(self.data), bytes=stat.st_size, modified_s=stat.st_mtime)],
            created_at=f"2026-11-24T12:00:0{name[-1]}+00:00",
        )  # fmt: skip
        run = msgspec.structs.replace(run, **changes)
        save(run, self.results / name)
        return run


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def reused(project: Project, **changes: Any) -> str | None:
    found = reuse.finished(project.results, msgspec.structs.replace(project.now, **changes))
    return found[1].id if found else None


def test_the_newest_complete_run_that_still_holds_is_found(project):
    project.store("run-1")
    project.store("run-2")
    project.store("run-3", Status.INTERRUPTED)
    assert reused(project) == "run-2"
    assert "2 data files" not in reuse.compared(project.store("run-4"))


@pytest.mark.parametrize("change", ["script", "data size", "data time", "data gone"])
def test_a_changed_file_makes_it_measure_again_and_is_named(project, change):
    run = project.store("run-1")
    if change == "script":
        project.script.write_text("print(1)\n")
    elif change == "data size":
        project.data.write_bytes(b"123456")
    elif change == "data time":
        os.utime(project.data, (1, 1))
    else:
        project.data.unlink()
    assert reused(project) is None
    name = "train.py" if change == "script" else "data.bin"
    assert reuse.changes(run, project.now) == [f"{name} has changed"]


def test_other_options_hardware_arguments_or_folders_are_another_result(project):
    project.store("run-1")
    assert reused(project) == "run-1"
    assert reused(project, options={"budget_s": 30.0, "seed": 0}) is None
    assert reused(project, machine=msgspec.structs.replace(factory.MACHINE, effective_cpus=2.0)) is None
    assert reused(project, command=["train.py", "--lr", "1"]) is None
    assert reused(project, cwd="/elsewhere") is None


def test_another_version_of_what_runs_the_script_is_another_result(project):
    old = Environment(pid=1, python=platform.python_version(), torch="2.4.0")
    run = project.store("run-1", environment=old)
    assert any(text.startswith("torch 2.4.0 -> ") for text in reuse.changes(run, project.now))
    assert reuse.changes(run, msgspec.structs.replace(project.now, own_interpreter=False)) == []


def test_a_run_whose_sources_are_unknown_is_never_reused(project):
    project.store("run-1", sources={})
    assert reused(project) is None


def test_an_interrupted_run_is_continued_also_with_more_time(project):
    project.store("run-1")
    project.store("run-2", Status.INTERRUPTED)
    longer = msgspec.structs.replace(project.now, options={"budget_s": 300.0, "seed": 0})
    assert reuse.interrupted(project.results, longer)[1].id == "run-2"


def test_what_cannot_be_continued_says_why(project):
    with pytest.raises(RecordError, match="not interrupted after its baseline"):
        reuse.interrupted(project.results, project.now)
    project.store("run-1", Status.INTERRUPTED, baseline=None)
    with pytest.raises(RecordError, match="not interrupted after its baseline"):
        reuse.interrupted(project.results, project.now)
    project.store("run-2", Status.INTERRUPTED)
    project.script.write_text("print(2)\n")
    with pytest.raises(RecordError, match=r"run-2 cannot be continued: train.py has changed"):
        reuse.interrupted(project.results, project.now)
