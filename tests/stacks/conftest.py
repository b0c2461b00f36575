"""The stacks take minutes, so they only run when they are asked for: make stacks."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "stacks" in config.option.markexpr or any("stacks" in argument for argument in config.args):
        return
    for item in items:
        if item.get_closest_marker("stacks"):
            item.add_marker(pytest.mark.skip(reason="takes minutes and libraries of its own: make stacks"))
