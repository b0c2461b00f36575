"""A snapshot holds what a value was at the call, however the original is changed afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from gputune.probes.runtime.snapshot import snapshot

SIZE = 1 << 16


def fresh() -> torch.Tensor:
    return torch.arange(SIZE, dtype=torch.float32)


def add_in_place(tensor: torch.Tensor, _before: Any) -> None:
    tensor.add_(1)


def write_through_out(tensor: torch.Tensor, _before: Any) -> None:
    torch.ones(SIZE, out=tensor)


def set_another_storage(tensor: torch.Tensor, _before: Any) -> None:
    tensor.set_(torch.ones(SIZE))


def resize_and_fill(tensor: torch.Tensor, _before: Any) -> None:
    tensor.resize_(2 * SIZE).fill_(3)


def write_the_view_made_after(tensor: torch.Tensor, _before: Any) -> None:
    tensor.view(2, -1)[0] = 5


def write_the_array_made_after(tensor: torch.Tensor, _before: Any) -> None:
    tensor.numpy()[:] = 5


def write_the_data(tensor: torch.Tensor, _before: Any) -> None:
    tensor.data.zero_()


def write_the_storage_made_after(tensor: torch.Tensor, _before: Any) -> None:
    tensor.untyped_storage().fill_(0)


def write_what_was_made_before(_tensor: torch.Tensor, before: Any) -> None:
    before[:] = 7


def write_the_storage_made_before(_tensor: torch.Tensor, before: Any) -> None:
    before.fill_(7)


AFTER: list[Callable[..., None]] = [
    add_in_place, write_through_out, set_another_storage, resize_and_fill, write_the_view_made_after,
    write_the_array_made_after, write_the_data, write_the_storage_made_after,
]  # fmt: skip


@pytest.mark.parametrize("change", AFTER, ids=lambda change: change.__name__)
def test_what_is_done_to_a_tensor_afterwards_does_not_reach_its_snapshot(change: Callable[..., None]) -> None:
    tensor = fresh()
    kept = snapshot(tensor)
    change(tensor, None)
    assert not torch.equal(tensor, fresh())
    assert torch.equal(kept, fresh())


@pytest.mark.parametrize(
    ("alias", "change"),
    [
        (torch.Tensor.numpy, write_what_was_made_before),
        (torch.Tensor.detach, write_what_was_made_before),
        (lambda tensor: tensor.view(2, -1), write_what_was_made_before),
        (torch.Tensor.untyped_storage, write_the_storage_made_before),
        (lambda tensor: np.from_dlpack(tensor), None),
    ],
    ids=["numpy", "detached", "view", "storage", "dlpack"],
)
def test_nor_does_what_is_done_through_an_alias_made_before(alias: Callable[..., Any], change: Any) -> None:
    tensor = fresh()
    before = alias(tensor)
    kept = snapshot(tensor)
    if change is None:
        before = torch.from_dlpack(tensor)
        change = write_what_was_made_before
    change(tensor, before)
    assert torch.equal(kept, fresh())


def test_an_array_and_a_tensor_over_an_array_are_copied() -> None:
    array = np.arange(SIZE, dtype=np.float32)
    kept, over = snapshot(array), snapshot(torch.from_numpy(array))
    array[:] = 0
    assert np.array_equal(kept, fresh().numpy())
    assert torch.equal(over, fresh())


def test_a_parameter_is_kept_detached_through_an_optimizer_step() -> None:
    parameter = torch.nn.Parameter(fresh())
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    parameter.sum().backward()
    kept = snapshot({"weights": [parameter]})["weights"][0]
    optimizer.step()
    assert not kept.requires_grad
    assert torch.equal(kept, fresh())
    assert torch.equal(parameter.detach(), fresh() - 1)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.rand(3, 4).t(), torch.rand(8)[::2], torch.empty(0), torch.tensor(3.5), torch.tensor([True, False]),
        torch.rand(3, dtype=torch.complex64).conj(), torch.rand(5, dtype=torch.bfloat16), torch.eye(3).to_sparse(),
        torch.rand(2, 3, 4, 4).to(memory_format=torch.channels_last),
        torch.quantize_per_tensor(torch.rand(4), 0.1, 0, torch.quint8),
    ],
    ids=lambda tensor: f"{tensor.dtype}-{tuple(tensor.shape)}",
)  # fmt: skip
def test_every_kind_of_tensor_keeps_its_values_and_form(tensor: torch.Tensor) -> None:
    kept = snapshot(tensor)
    assert (kept.dtype, kept.shape, kept.layout, kept.is_quantized) == (
        tensor.dtype, tensor.shape, tensor.layout, tensor.is_quantized,
    )  # fmt: skip
    assert torch.equal(plain(kept), plain(tensor))


def plain(tensor: torch.Tensor) -> torch.Tensor:
    if tensor.is_sparse:
        return tensor.to_dense()
    return tensor.dequantize() if tensor.is_quantized else tensor
