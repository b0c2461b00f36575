"""A loop of this process is measured, tuned, and left as it was."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader, Dataset, dataloader

import gputune
from gputune.errors import InconclusiveError, UsageError
from gputune.record import Outcome, Run, Status, dump, load

pytestmark = pytest.mark.heavy


class Slow(Dataset):
    def __init__(self, n: int = 400) -> None:
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, index):
        time.sleep(0.003)
        return torch.tensor([float(index)])


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def make_loop():
    model = torch.nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), 1e-9)

    def loop(loader):
        for x in loader:
            optimizer.zero_grad()
            model(x).mean().backward()
            optimizer.step()
            time.sleep(0.002)

    return loop


def test_a_loop_is_tuned_in_place_and_the_loader_is_the_users_again(tmp_path):
    loader = DataLoader(Slow(), batch_size=8)
    handler = dataloader._utils.signal_handling._set_SIGCHLD_handler
    run = gputune.profile(make_loop(), loader, budget_s=12, results_dir=tmp_path / "results", quiet=True)
    assert isinstance(run, Run)
    assert run.status is Status.COMPLETE
    assert run.outcome is Outcome.RECOMMENDED
    assert run.recommendation is not None
    assert run.recommendation.settings.num_workers > 0
    assert run.recommendation.low > 1.2
    assert run.loader is not None
    assert run.loader.file == __file__
    assert "<iframe" in run._repr_html_()
    assert dump(load(next((tmp_path / "results").iterdir()))) == dump(run)
    assert (loader.num_workers, loader.prefetch_factor) == (0, None)
    assert dataloader._utils.signal_handling._set_SIGCHLD_handler is handler
    assert sum(len(batch) for batch in loader) == 400, "and it iterates as ever"


def test_measuring_without_a_search_and_again_in_the_same_process(tmp_path):
    loop, loader = make_loop(), DataLoader(Slow(80), batch_size=8)
    for _ in range(2):
        run = gputune.profile(loop, loader, search=False, quiet=True)
        assert run.recommendation is None
        assert run.baseline is not None
        assert run.ceiling is not None


def test_what_the_loop_raises_reaches_its_caller():
    def loop(loader):
        for number, _ in enumerate(loader):
            if number == 30:
                raise LookupError("the user's own")

    with pytest.raises(LookupError, match="the user's own"):
        gputune.profile(loop, DataLoader(Slow(), batch_size=8), quiet=True)


def test_a_loop_that_takes_nothing_is_refused_and_so_are_wrong_arguments():
    loader = DataLoader(Slow(), batch_size=8)
    with pytest.raises(InconclusiveError, match="without taking a batch"):
        gputune.profile(lambda loader: None, loader, quiet=True)
    with pytest.raises(UsageError, match="function of the loader"):
        gputune.profile(loader, loader)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="has to be a DataLoader"):
        gputune.profile(make_loop(), 7)
    with pytest.raises(UsageError, match="budget_s is 0"):
        gputune.profile(make_loop(), loader, budget_s=0)


def test_importing_gputune_alone_loads_neither_torch_nor_the_campaign():
    source = (
        "import gputune, sys; gputune.__version__; print('torch' in sys.modules, 'gputune.notebook' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True, cwd=Path("/"))
    assert done.stdout.split() == ["False", "False"]
