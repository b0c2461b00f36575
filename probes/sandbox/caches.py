"""Caches that a probe uses for real, so that it neither downloads nor compiles again what the user has."""

from __future__ import annotations

import getpass
import os
import re
from collections.abc import Mapping
from pathlib import Path

_CACHES = (
    ("HF_HOME", "~/.cache/huggingface"), ("HF_HUB_CACHE", ""), ("HF_DATASETS_CACHE", ""),
    ("TORCH_HOME", "~/.cache/torch"), ("XDG_CACHE_HOME", "~/.cache"), ("TRITON_CACHE_DIR", "~/.triton/cache"),
    ("TORCHINDUCTOR_CACHE_DIR", ""),
    ("TORCH_EXTENSIONS_DIR", ""), ("CUDA_CACHE_PATH", "~/.nv/ComputeCache"),
)  # fmt: skip


def caches(env: Mapping[str, str]) -> list[Path]:
    """Return the cache directories that exist."""
    home = env.get("HOME", "/")
    names = [env.get(variable) or usual for variable, usual in _CACHES]
    paths = [Path(home + name[1:] if name.startswith("~/") else name) for name in names if name]
    return list(dict.fromkeys(path for path in paths if path.is_dir()))


def keep_compile_cache(env: Mapping[str, str]) -> dict[str, str]:
    """Return the environment with torch's compile cache where it is: by default it lies in ``TMPDIR``."""
    environment = dict(env)
    if "TORCHINDUCTOR_CACHE_DIR" not in environment:
        user = re.sub(r'[\\/:*?"<>|]', "_", getpass.getuser())
        cache = os.path.join(environment.get("TMPDIR") or "/tmp", f"torchinductor_{user}")
        if os.path.isdir(cache):
            environment["TORCHINDUCTOR_CACHE_DIR"] = cache
    return environment
