"""Every cause is documented, and nothing else is."""

from __future__ import annotations

import re
from pathlib import Path

from gputune.cause import Cause

DOCUMENT = Path(__file__).parents[2] / "docs" / "causes.md"


def test_the_table_of_causes_is_complete() -> None:
    named = re.findall(r"^\| `(\w+)` \|", DOCUMENT.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert sorted(named) == sorted(cause.value for cause in Cause)
