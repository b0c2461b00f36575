import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

STUB = Path(__file__).parents[2] / "nvml_stub"
Scenario = Callable[..., dict[str, Any]]


@pytest.fixture
def scenario(stub_library: Path, tmp_path: Path) -> Scenario:
    """Return a function that reads a scripted GPU in a fresh process and returns what it saw."""

    def run(
        *lines: str,
        uuid: str | None = None,
        reads: int = 1,
        interval_s: float = 0.11,
        environment: Mapping[str, str] | None = None,
        library: bool = True,
    ) -> dict[str, Any]:
        state = tmp_path / "state"
        state.write_text("\n".join(lines))
        variables = {name: text for name, text in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
        variables |= {"GPUTUNE_FAKE_NVML": str(state), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        if library:
            variables["LD_LIBRARY_PATH"] = str(stub_library.parent)
        request = json.dumps({"uuid": uuid, "reads": reads, "interval_s": interval_s})
        done = subprocess.run(
            [sys.executable, str(STUB / "run_scenario.py"), request],
            env={**variables, **(environment or {})},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        result: dict[str, Any] = json.loads(done.stdout)
        return result

    return run
