"""What the patch tests share: scripts in real repositories, patches applied with the real git."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import run_factory as factory

from gputune.export import patch
from gputune.probes.settings import SETTINGS, Scope, Settings
from gputune.record import Recommendation, Run

HEAD = "import torch\nfrom torch.utils.data import DataLoader\n\ndata = list(range(8))\n"
WANTED = Settings.make(num_workers=3, prefetch_factor=4, pin_memory=True)
NONE = Settings()
LOADER_SETTINGS = [name for name, row in SETTINGS.items() if row.scope is Scope.LOADER]


def git(folder: Path, *arguments: str, text: bytes | None = None) -> str:
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], input=text, capture_output=True, timeout=20, env=environment
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def make_run(file: Path, line: int, observed: Settings = NONE, wanted: Settings = WANTED, **site: Any) -> Run:
    chosen = Recommendation(settings=wanted, ratio=2.0, low=1.9, high=2.1, reproducibility="")
    return msgspec.structs.replace(
        factory.run(proof=None, trials=[]), recommendation=chosen, cwd=str(file.parent),
        loader=factory.site(file=str(file), line=line, settings=observed, **site),
        sources={str(file): hashlib.sha256(file.read_bytes()).hexdigest()},
    )  # fmt: skip


def write(folder: Path, source: str | bytes, name: str = "train.py") -> tuple[Path, int]:
    """Write a script into a new repository; the call is on the line that says ``loader =``."""
    git(folder, "init", "-q")
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    data = source if isinstance(source, bytes) else source.encode()
    file.write_bytes(data)
    return file, next(n for n, line in enumerate(data.split(b"\n"), 1) if b"loader =" in line)


def applied(folder: Path, file: Path, run: Run) -> bytes:
    diff = patch.render(run)
    git(folder, "apply", "--check", "-", text=diff.encode())
    git(folder, "apply", "-", text=diff.encode())
    return file.read_bytes()


def loader_of(source: bytes) -> Settings:
    names: dict[str, Any] = {"__name__": "script"}
    exec(compile(source, "train.py", "exec"), names)
    return Settings.make(**{name: getattr(names["loader"], name) for name in LOADER_SETTINGS})
