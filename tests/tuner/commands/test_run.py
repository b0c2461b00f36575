"""``gputune run``: the unmodified script, other settings, and nothing else different."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """\
import sys
import torch
from torch.utils.data import DataLoader, Dataset


class Numbers(Dataset):
    def __len__(self):
        return 64

    def __getitem__(self, index):
        if "raise" in sys.argv and index == 40:
            raise ValueError("sample 40 is broken")
        return index


torch.manual_seed(7)
train = DataLoader(Numbers(), batch_size=8, shuffle=True)
other = DataLoader(Numbers(), batch_size=8)
print([batch.tolist() for batch in train], train.num_workers, other.num_workers, sys.argv[1:])
sys.exit(int(sys.argv[1]) if len(sys.argv) > 1 and sys.argv[1].isdigit() else 0)
"""


@pytest.fixture
def config(shell) -> Path:
    script = shell.cwd / "train.py"
    script.write_text(SCRIPT)
    line = next(number for number, text in enumerate(SCRIPT.splitlines(), 1) if text.startswith("train = "))
    settings = {"num_workers": 2, "prefetch_factor": 3, "pin_memory": False, "persistent_workers": False}
    loader = {"file": "train.py", "line": line, "function": "<module>", "dataset_class": "Numbers", "role": "train"}
    path = shell.cwd / "gputune.json"
    path.write_text(json.dumps({"schema_version": 1, "loaders": [{**loader, "settings": settings}]}))
    return path


def plain(shell, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "train.py", *arguments], cwd=shell.cwd, capture_output=True, text=True)


def test_the_settings_are_applied_by_site_and_what_was_done_is_said(shell, config):
    done = shell.run("run", "--config", config, "train.py", "0", "--flag")
    assert done.returncode == 0, done.stderr
    batches, workers = done.stdout.rsplit("] ", 1)[0], done.stdout.rsplit("] ", 1)[-1]
    assert workers.startswith("2 0 ['0', '--flag']")
    assert batches == plain(shell, "0", "--flag").stdout.rsplit("] ", 1)[0], "the same samples in the same order"
    assert "applied to the loader at train.py:17: num_workers 0 -> 2, prefetch_factor None -> 3" in done.stderr
    assert "left the loader at train.py:18 alone: no settings were recommended for this line" in done.stderr


@pytest.mark.parametrize("status", [0, 1, 7, 130])
def test_the_exit_status_is_the_scripts_own(shell, config, status):
    assert shell.run("run", "--config", config, "train.py", status).returncode == status


def test_the_traceback_is_the_users_own(shell, config):
    done = shell.run("run", "--config", config, "train.py", "raise")
    assert done.returncode == 1
    assert "ValueError: sample 40 is broken" in done.stderr
    assert "gputune/probes" not in done.stderr
    assert "probes/agent" not in done.stderr


def test_a_moved_line_is_still_found_by_its_function_and_dataset(shell, config):
    script = shell.cwd / "train.py"
    script.write_text(
        "# one more line\n" + SCRIPT.replace("other = DataLoader(Numbers(), batch_size=8)", "other = train")
    )
    assert "applied to the loader at train.py:18" in shell.run("run", "--config", config, "train.py").stderr


def test_another_dataset_at_the_line_is_left_alone(shell, config):
    script = shell.cwd / "train.py"
    script.write_text(SCRIPT.replace("Numbers", "Letters"))
    done = shell.run("run", "--config", config, "train.py")
    assert "it loads a Letters, the settings were measured with a Numbers" in done.stderr


def test_gputune_disable_makes_it_a_plain_python(shell, config):
    shell.env["GPUTUNE_DISABLE"] = "1"
    done = shell.run("run", "--config", config, "train.py")
    assert "gputune" not in done.stderr
    assert done.stdout == plain(shell).stdout


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no gputune configuration"),
        ('{"schema_version": 99, "loaders": []}', "schema version 99; this gputune reads up to 1"),
        ('{"loaders": [], "surprise": 1}', "surprise"),
        ('{"loaders": [{"file": "a", "line": 1, "settings": {"num_workers": -3}}]}', "num_workers takes 0 to 1024"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_refused_before_the_script_starts(shell, config, text, message):
    config.write_text(text)
    done = shell.run("run", "--config", config, "train.py")
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stdout == ""
