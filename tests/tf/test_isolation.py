"""A TensorFlow script does not get torch through us, nor a torch script TensorFlow."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gputune.probes import attach
from gputune.probes.attach import descriptors

SCRIPTS = {
    "torch": (
        "import sys, tensorflow as tf\n"
        "for x in tf.data.Dataset.range(8).map(lambda x: x).batch(2): pass\n"
        "import keras\n"
    ),
    "tensorflow": (
        "import sys, torch\n"
        "from torch.utils.data import DataLoader\n"
        "for x in DataLoader(list(range(8)), batch_size=2): pass\n"
    ),
}
"""Which library must not be imported -> a script of the other one."""


@pytest.mark.parametrize("mode", ["probe", "apply"])
@pytest.mark.parametrize("absent", SCRIPTS)
def test_the_other_library_is_not_imported(tmp_path: Path, absent: str, mode: str):
    script, config = tmp_path / "script.py", tmp_path / "config.json"
    script.write_text(SCRIPTS[absent] + f"print('imported' if '{absent}' in sys.modules else 'absent')\n")
    config.write_text('{"loaders": []}')
    reading, orders = os.pipe()
    events, writing = os.pipe()
    board = os.memfd_create("board")
    channel = descriptors.describe(descriptors.Descriptors(reading, writing, board))
    channel = channel.replace(descriptors.KEPT_BY_COMMAND, str(os.getpid()))
    environment = attach.environment(
        {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}, mode=mode, scope="self", channel=channel,
        config=str(config) if mode == "apply" else "",
    )  # fmt: skip
    try:
        done = subprocess.run(
            [sys.executable, str(script)], env=environment, pass_fds=(reading, writing, board), timeout=120, check=True,
            capture_output=True, text=True,
        )  # fmt: skip
    finally:
        for descriptor in (reading, orders, events, writing, board):
            os.close(descriptor)
    assert done.stdout.split() == ["absent"]
    assert "cannot" not in done.stderr
