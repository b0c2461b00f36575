"""The file is the one ``torch.save`` would have written, whatever happens to the state afterwards."""

from __future__ import annotations

import collections
import datetime
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gputune.probes.runtime.checkpoint import install_async_save, uninstall_async_save
from gputune.probes.runtime.checkpoint.saver import AsyncSaver, torch_save

STATES = 1000 if os.environ.get("GPUTUNE_LONG_TESTS") else 200


class Custom:
    """A user's class with state of its own."""

    def __init__(self, weight: torch.Tensor) -> None:
        self.weight, self.note = weight, {"born": datetime.date(2024, 2, 29)}


class Stateful(torch.Tensor):
    """A tensor subclass."""


Pair = collections.namedtuple("Pair", "left right")


@pytest.fixture(params=["thread", "process"])
def saver(request: pytest.FixtureRequest) -> Iterator[AsyncSaver]:
    installed = install_async_save(request.param)
    assert installed is not None
    installed.warm_up()
    yield installed
    uninstall_async_save()


def random_tensor(rng: random.Random, pool: list[torch.Tensor]) -> Any:
    """Return a tensor of one of the kinds that trip serialisers up."""
    shape = [rng.randrange(0, 6) for _ in range(rng.randrange(0, 4))]
    base = torch.rand(shape)
    kind = rng.randrange(14)
    if kind == 0 and pool:
        return rng.choice(pool)
    if kind == 1 and pool:
        return rng.choice(pool).reshape(-1)[:2]
    if kind == 2 and pool:
        return pool[-1].T if pool[-1].dim() == 2 else pool[-1]
    if kind == 3:
        return torch.quantize_per_tensor(torch.rand(4, 3), 0.1, 10, torch.quint8)
    if kind == 4:
        return torch.rand(3, 4).relu().to_sparse()
    if kind == 5:
        return torch.nn.Parameter(base)
    if kind == 6:
        return base.as_subclass(Stateful)
    if kind == 7:
        return torch.empty(3, 2, device="meta")
    if kind == 8:
        return Custom(base)
    if kind == 9:
        return np.arange(rng.randrange(5)).astype(rng.choice(["f4", "i8"]))
    if kind == 10:
        return torch.rand(64, 1024 + rng.randrange(9))[:, 1:]
    if kind == 11:
        return base.to_sparse_csr() if base.dim() == 2 else base.untyped_storage()
    dtype = rng.choice([torch.float16, torch.bfloat16, torch.int8, torch.bool, torch.complex64, torch.int64])
    return base.to(dtype)


def random_state(rng: random.Random, depth: int = 0, pool: list[torch.Tensor] | None = None) -> Any:
    pool = [] if pool is None else pool
    if depth > 3 or rng.random() < 0.35:
        tensor = random_tensor(rng, pool)
        if type(tensor) is torch.Tensor and tensor.layout == torch.strided and tensor.dtype == torch.float32:
            pool.append(tensor)
        return tensor
    children = [random_state(rng, depth + 1, pool) for _ in range(rng.randrange(0, 5))]
    kind = rng.randrange(6)
    if kind == 0:
        return tuple(children)
    if kind == 1:
        return collections.OrderedDict((f"name.{i}.weight", child) for i, child in enumerate(children))
    if kind == 2:
        return {"values": children, "self": children, 3: rng.random(), "text": "é" * rng.randrange(9)}
    if kind == 3:
        return Pair(children, rng.choice([None, 1 << 80, b"raw", {1, 2}, torch.float32, torch.device("cpu")]))
    return children


def both_paths(folder: Path, name: str = "state.pt") -> tuple[Path, Path]:
    """Return two paths with the same base name, which goes into the archive."""
    (folder / "ours").mkdir(exist_ok=True)
    (folder / "theirs").mkdir(exist_ok=True)
    return folder / "ours" / name, folder / "theirs" / name


def scramble(value: Any) -> None:
    """Overwrite every tensor in place, as the next optimiser step would."""
    if isinstance(value, torch.Tensor):
        if value.layout == torch.strided and value.device.type == "cpu" and not value.is_quantized:
            value.data.untyped_storage().fill_(7)
    elif isinstance(value, dict):
        for item in value.values():
            scramble(item)
        value["added"] = "later"
    elif isinstance(value, list):
        for item in value:
            scramble(item)
        value.append("later")
    elif isinstance(value, tuple):
        for item in value:
            scramble(item)


def test_random_states_give_the_bytes_of_torch_save_even_when_changed_at_once(
    saver: AsyncSaver, tmp_path: Path
) -> None:
    ours, theirs = both_paths(tmp_path)
    for seed in range(STATES):
        rng = random.Random(seed)
        torch.manual_seed(seed)
        state = random_state(rng)
        torch_save(state, theirs)
        torch.save(state, ours)
        scramble(state)
        assert ours.read_bytes() == theirs.read_bytes(), f"seed {seed}"
    assert saver.saves == STATES
    assert saver.synchronous_reasons == {}


def test_a_large_state_with_ties_and_adam_survives_the_next_step(saver: AsyncSaver, tmp_path: Path) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(512, 512), torch.nn.Linear(512, 512))
    model[1].weight = model[0].weight
    optimizer = torch.optim.Adam(model.parameters())
    extra = {"epoch": 1, "history": [1, 2]}

    def step() -> None:
        optimizer.zero_grad()
        model(torch.rand(4, 512)).sum().backward()
        optimizer.step()

    step()
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "extra": extra}
    ours, theirs = both_paths(tmp_path)
    torch_save(state, theirs)
    torch.save(state, ours)
    step()
    extra["epoch"] = 99
    assert ours.read_bytes() == theirs.read_bytes()
    loaded = torch.load(ours, weights_only=False)
    assert loaded["model"]["0.weight"].data_ptr() == loaded["model"]["1.weight"].data_ptr()
    assert loaded["optimizer"]["state"][0]["step"] == 1
    assert loaded["extra"]["epoch"] == 1


@pytest.mark.parametrize("name", ["a.b.pt", "noextension", ".hidden.pt", "with space.bin", "größe.pt"])
def test_the_archive_folder_is_named_as_torch_names_it(saver: AsyncSaver, tmp_path: Path, name: str) -> None:
    ours, theirs = both_paths(tmp_path, name)
    torch_save({"x": torch.ones(3)}, theirs)
    torch.save({"x": torch.ones(3)}, ours)
    assert ours.read_bytes() == theirs.read_bytes()
    assert saver.saves == 1


def test_a_name_torch_refuses_is_refused_at_the_call(saver: AsyncSaver, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="invalid file name"):
        torch.save([1], tmp_path / ".hidden")


def test_a_relative_name_in_a_folder_that_is_not_ascii(
    saver: AsyncSaver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ü" / "ours").mkdir(parents=True)
    (tmp_path / "ü" / "theirs").mkdir()
    monkeypatch.chdir(tmp_path / "ü")
    torch_save([1], "theirs/x.pt")
    torch.save([1], "ours/x.pt")
    assert Path("ours/x.pt").read_bytes() == Path("theirs/x.pt").read_bytes()


def test_options_of_the_call_and_of_torch_reach_the_file(saver: AsyncSaver, tmp_path: Path) -> None:
    ours, theirs = both_paths(tmp_path)
    state = {"x": torch.rand(1000)}
    torch.serialization.set_crc32_options(False)
    try:
        torch_save(state, theirs, pickle_protocol=4)
        torch.save(state, ours, pickle_protocol=4)
    finally:
        torch.serialization.set_crc32_options(True)
    assert ours.read_bytes() == theirs.read_bytes()
    torch_save(state, theirs, _use_new_zipfile_serialization=False)
    torch.save(state, ours, _use_new_zipfile_serialization=False)
    assert torch.equal(torch.load(ours)["x"], state["x"])
    assert saver.synchronous_reasons == {"the old format was asked for": 1}


def test_buffers_and_open_files_are_written_at_once(saver: AsyncSaver, tmp_path: Path) -> None:
    with (tmp_path / "x.pt").open("wb") as file:
        torch.save(torch.ones(2), file)
    assert torch.load(tmp_path / "x.pt").tolist() == [1, 1]
    assert saver.synchronous_reasons == {"it is not a path": 1}
