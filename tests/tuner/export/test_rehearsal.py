"""The patch is tried out before it is offered: with the real git, the real sandbox and the real loader."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec
import pytest
from patch_bench import git, make_run, write

from gputune import record
from gputune.errors import InconclusiveError
from gputune.export import patch, rehearsal
from gputune.probes.settings import Settings
from gputune.record import Run

pytestmark = [pytest.mark.heavy, pytest.mark.skipif(sys.platform != "linux", reason="needs the sandbox")]
TWO = Settings.make(num_workers=2)
SCRIPT = """
import time
import torch
from torch.utils.data import DataLoader, Dataset

class Data(Dataset):
    def __len__(self):
        return 100_000
    def __getitem__(self, index):
        time.sleep(0.002)
        return torch.zeros(4)

{extra}
loader = DataLoader(Data(), batch_size=4, num_workers=0)
{after}
weight = torch.zeros(4, requires_grad=True)
optimizer = torch.optim.SGD([weight], lr=0.1)
for batch in loader:
    optimizer.zero_grad()
    (batch @ weight).sum().backward()
    optimizer.step()
"""

STUBBORN = """
class Loader(DataLoader):
    def __init__(self, *args, num_workers=0, **kw):
        super().__init__(*args, **kw)
DataLoader = Loader
"""


@pytest.fixture(autouse=True)
def own_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def project(tmp_path: Path, extra: str = "", after: str = "", rate: float = 100.0) -> Run:
    """A repository with one script, and a run that found two workers better than its ``rate`` samples/s."""
    folder = tmp_path / "project"
    folder.mkdir()
    file, line = write(folder, SCRIPT.format(extra=extra, after=after))
    run = make_run(file, line, wanted=TWO)
    base = run.baseline
    assert base is not None
    periods = [4 / rate] * len(base.period_s)
    slow = msgspec.structs.replace(base, period_s=periods, wait_s=[p / 2 for p in periods], samples=[4] * len(periods))
    return msgspec.structs.replace(run, command=["train.py"], baseline=slow)


def untouched(run: Run) -> bool:
    folder = Path(run.cwd)
    return git(folder, "ls-files", "--others") == "train.py\n" and "num_workers=0" in (folder / "train.py").read_text()


def test_a_patch_that_works_is_offered_with_what_it_was_seen_to_do(tmp_path: Path) -> None:
    run = project(tmp_path)
    done = rehearsal.rehearse(run, patch.make(run))
    assert done.values == {"num_workers": 2}
    assert done.samples_per_s.value > 400
    assert done.before_samples_per_s == pytest.approx(100)
    assert untouched(run)


def test_the_verb_offers_the_rehearsed_patch_and_git_applies_it(tmp_path: Path) -> None:
    run = project(tmp_path)
    results = tmp_path / "results"
    record.save(run, results / run.id)
    command = [sys.executable, "-m", "gputune", "export", "--format", "patch", "--results-dir", str(results)]
    offered = subprocess.run(command, capture_output=True, timeout=120, env={**os.environ})
    assert offered.returncode == 0, offered.stderr.decode()
    assert offered.stdout.startswith(b"# rehearsed: in the sandbox the patched script had num_workers=2 and made ")
    assert b"rehearsing the patch" in offered.stderr
    git(Path(run.cwd), "apply", "-", text=offered.stdout)
    assert "num_workers=2" in (Path(run.cwd) / "train.py").read_text()
    plain = subprocess.run([*command, "--no-verify"], capture_output=True, timeout=60)
    assert (plain.returncode, plain.stdout) == (3, b"")  # the file is no longer the one that was measured


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"after": "assert loader.num_workers == 0, 'no workers here'"}, "no workers here"),
        ({"after": "loader = DataLoader(loader.dataset, batch_size=4)"}, "not the one at train.py:14"),
        ({"extra": STUBBORN}, "still has num_workers=0, not 2"),
        ({"rate": 50_000.0}, "yours made 50000 samples/s"),
    ],
    ids=["the script fails", "another loader trains", "the value does not reach the loader", "it is no faster"],
)
def test_a_patch_that_does_not_help_is_not_offered(change: dict[str, object], reason: str, tmp_path: Path) -> None:
    run = project(tmp_path, **change)  # type: ignore[arg-type]
    with pytest.raises(InconclusiveError, match="the patch is not offered") as caught:
        rehearsal.rehearse(run, patch.make(run))
    assert reason in str(caught.value)
    assert caught.value.hint
    assert untouched(run)


def test_where_writes_are_not_diverted_nothing_is_written(tmp_path: Path) -> None:
    """A script right in /tmp, which every program shares, so that the sandbox leaves it alone."""
    run = project(tmp_path)
    with tempfile.NamedTemporaryFile(dir="/tmp", prefix="gputune_", suffix=".py") as file:
        text = (tmp_path / "project" / "train.py").read_bytes()
        file.write(text)
        file.flush()
        assert run.loader is not None
        site = msgspec.structs.replace(run.loader, file=file.name)
        name = Path(file.name).name
        run = msgspec.structs.replace(run, cwd="/tmp", command=[name], loader=site, sources={})
        before = set(os.listdir("/tmp"))
        with pytest.raises(InconclusiveError, match="cannot be rehearsed here"):
            rehearsal.rehearse(run, patch.make(msgspec.structs.replace(run, created_at="2099-01-01T00:00:00+00:00")))
        assert Path(file.name).read_bytes() == text
        assert not [name for name in set(os.listdir("/tmp")) - before if name.startswith(".gputune-rehearsal")]
