"""Optimiser steps, backward passes and structural changes off the training thread are found by place."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
import torch

from gputune.probes.runtime.hazards import Hazard, HazardError, HazardGuard


def in_thread(work: Callable[[], object]) -> BaseException | None:
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - handed to the test
            raised.append(error)

    thread = threading.Thread(target=run, name="side")
    thread.start()
    thread.join()
    return raised[0] if raised else None


def model_in_use() -> torch.nn.Sequential:
    model = torch.nn.Sequential(torch.nn.Linear(2, 2))
    model(torch.rand(1, 2)).sum().backward()
    return model


def replace_a_layer(model: torch.nn.Sequential) -> None:
    model[0].weight = torch.nn.Parameter(torch.rand(2, 2))


@pytest.mark.parametrize(
    ("kind", "work"),
    [
        ("optimizer step", lambda m: torch.optim.AdamW(m.parameters()).step()),
        ("optimizer step", lambda m: torch.optim.SGD(m.parameters(), 0.1).step()),
        ("backward", lambda m: m(torch.rand(1, 2)).sum().backward()),
        ("backward", lambda m: torch.autograd.backward(m(torch.rand(1, 2)).sum())),
        ("structural change", lambda m: m.add_module("more", torch.nn.Linear(2, 2))),
        ("structural change", replace_a_layer),
        ("device move", lambda m: m.to("cpu")),
    ],
)
def test_each_hazard_is_named_with_its_place(kind: str, work: Callable[[torch.nn.Sequential], object]) -> None:
    told: list[Hazard] = []
    with HazardGuard(on_hazard=told.append) as guard:
        model = model_in_use()
        assert in_thread(lambda: work(model)) is None
        assert in_thread(lambda: work(model)) is None
    assert [hazard.kind for hazard in guard.hazards] == [kind]
    (hazard,) = told
    assert hazard.file == __file__
    assert hazard.line == work.__code__.co_firstlineno + (1 if work is replace_a_layer else 0)
    assert hazard.thread == "side"


def test_the_training_thread_may_do_everything_and_side_threads_may_infer_and_build() -> None:
    def harmless() -> None:
        fresh = torch.nn.Sequential(torch.nn.Linear(2, 2)).to("cpu")
        fresh.add_module("more", torch.nn.Linear(2, 2))
        with torch.no_grad():
            fresh(torch.rand(1, 2))

    with HazardGuard(strict=True) as guard:
        model = model_in_use()
        torch.optim.SGD(model.parameters(), 0.1).step()
        model.add_module("more", torch.nn.Linear(2, 2))
        assert in_thread(harmless) is None
    assert guard.hazards == []


def test_strict_raises_in_the_thread_and_leaving_restores_torch() -> None:
    before = (torch.Tensor.backward, torch.nn.Module.to, torch.nn.Module.__setattr__)
    with HazardGuard(strict=True):
        model = model_in_use()
        error = in_thread(lambda: torch.optim.SGD(model.parameters(), 0.1).step())
    assert isinstance(error, HazardError)
    assert "test_hazards.py" in str(error)
    assert (torch.Tensor.backward, torch.nn.Module.to, torch.nn.Module.__setattr__) == before
    assert in_thread(lambda: torch.optim.SGD(model.parameters(), 0.1).step()) is None
