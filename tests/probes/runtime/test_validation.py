"""A validation never sees a half-updated model and never holds training up unless it is asked to."""

from __future__ import annotations

import threading
import time

import pytest
import torch

from gputune.probes.runtime.validation import AsyncValidator, ValidationResult


class Stamped(torch.nn.Module):
    """Every parameter and buffer holds the version of the step that wrote it."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = torch.nn.ParameterList(torch.nn.Parameter(torch.zeros(2000)) for _ in range(20))
        self.register_buffer("statistics", torch.zeros(2000))

    def stamp(self, version: int) -> None:
        with torch.no_grad():
            for part in self.parts:
                part.fill_(version)
            self.statistics.fill_(version)


def versions_in(model: torch.nn.Module) -> set[float]:
    return {float(v) for tensor in (*model.parameters(), *model.buffers()) for v in tensor.unique()}


def test_no_evaluation_sees_two_versions_of_the_weights() -> None:
    model, seen = Stamped(), []

    def evaluate(copied: torch.nn.Module) -> dict[str, float]:
        for _ in range(5):
            seen.append(versions_in(copied))
            time.sleep(0.0005)
        return {"version": float(next(copied.parameters())[0])}

    with AsyncValidator(evaluate, model, monitor="version", mode="max") as validator:
        for step in range(400):
            model.stamp(step)
            validator.trigger(step)
        validator.wait()
        results = validator.results()
    assert all(len(versions) == 1 for versions in seen)
    assert [r.step for r in results] == [int(r.metrics["version"]) for r in results]
    assert len(results) + validator.skipped == 400
    assert validator.best is not None
    assert validator.best.step == 399


@pytest.mark.parametrize(("policy", "expected"), [("skip", [0]), ("latest", [0, 4]), ("wait", [0, 1, 2, 3, 4])])
def test_a_slow_validation_meets_its_policy(policy: str, expected: list[int]) -> None:
    gate, begun = threading.Event(), threading.Event()

    def evaluate(_model: torch.nn.Module) -> dict[str, float]:
        begun.set()
        gate.wait(10)
        return {"loss": 1.0}

    validator = AsyncValidator(evaluate, torch.nn.Linear(2, 2), when_busy=policy)  # type: ignore[arg-type]
    if policy == "wait":
        gate.set()
    validator.trigger(0)
    begun.wait(10)
    for step in range(1, 5):
        validator.trigger(step)
    gate.set()
    validator.close()
    assert [r.step for r in validator.results()] == expected
    assert validator.skipped == 5 - len(expected)


def test_mode_and_gradients_of_training_are_untouched_and_errors_are_results() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout()).train()
    seen: list[ValidationResult] = []

    def evaluate(copied: torch.nn.Module) -> dict[str, float]:
        assert not copied.training
        assert not torch.is_grad_enabled()
        raise ValueError("bad sample")

    with AsyncValidator(evaluate, model, on_result=seen.append) as validator:
        validator.trigger(3)
        model(torch.rand(1, 2)).sum().backward()
    assert model.training
    assert model[0].weight.grad is not None
    assert isinstance(seen[0].error, ValueError)
    assert "bad sample" in str(seen[0].error)
    assert validator.best is None
    with pytest.raises(RuntimeError, match="closed"):
        validator.trigger(4)
