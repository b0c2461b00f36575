"""The published schema of a stored run is the one the code has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gputune import record

FILE = Path(__file__).parents[2] / "docs" / "run.schema.json"


def test_the_published_schema_is_current(request: pytest.FixtureRequest) -> None:
    current = json.dumps(record.schema(), indent=1, sort_keys=True) + "\n"
    if request.config.getoption("--overwrite"):
        FILE.write_text(current, encoding="utf-8")
    assert FILE.read_text(encoding="utf-8") == current, "publish it with: pytest --overwrite tests/tuner/test_schema.py"
