"""The package's public names exist, and importing it is cheap."""

from __future__ import annotations

import subprocess
import sys

import pytest

import gputune
from gputune.probes import runtime


def test_every_public_name_can_be_had() -> None:
    for name in runtime.__all__:
        assert getattr(runtime, name) is not None
        assert getattr(gputune, name) is getattr(runtime, name)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = gputune.Nothing
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = runtime.Nothing


def test_importing_the_package_does_not_import_torch() -> None:
    script = "import sys, gputune.probes.runtime; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], timeout=60).returncode == 0
