"""Runs one command in the sandbox and prints what came of it as JSON; also as another user.

Usage: drive.py '{"argv": [...], "cwd": "...", ...arguments of launch..., "stop_after_s": 1, "grace_s": 1}'
"""

import ctypes
import json
import os
import sys
import time
from pathlib import Path

CLONE_NEWNS, MS_BIND, MS_REC, MS_PRIVATE = 0x20000, 4096, 16384, 1 << 18


def become_nobody(interpreter_roots):
    """Become an ordinary user for whom the interpreter stays reachable (root's home usually is not)."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.unshare(CLONE_NEWNS) == 0
    libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None)
    for root in interpreter_roots:
        top = "/" + root.split("/")[1]
        if os.stat(top).st_mode & 0o001:
            continue
        descriptor = os.open(root, os.O_PATH)
        assert libc.mount(b"tmpfs", top.encode(), b"tmpfs", 0, b"mode=755") == 0
        os.makedirs(root)
        assert libc.mount(f"/proc/self/fd/{descriptor}".encode(), root.encode(), None, MS_BIND | MS_REC, None) == 0
        os.close(descriptor)
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
    # A process that changed its user may not touch its own /proc files until it executes a program.
    os.execv(sys.executable, [sys.executable, __file__, json.dumps({**request, "nobody": False})])


def drive(argv, cwd, stop_after_s=None, grace_s=1.0, env=None, keep_writable=(), passthrough=None, **options):
    from gputune.probes.sandbox import plan

    try:
        keeper = plan.launch(
            argv,
            cwd=Path(cwd),
            env={**os.environ, **(env or {})},
            keep_writable=[Path(path) for path in keep_writable],
            passthrough=None if passthrough is None else [Path(path) for path in passthrough],
            stdout=sys.stderr,
            **options,
        )
    except (plan.SandboxUnavailable, plan.CommandNotStarted) as error:
        return {"error": f"{type(error).__name__}: {error}"}
    if "announce" in os.environ:
        print(
            json.dumps({"keeper": keeper.pid, "target": keeper.target_pid, "scratch": keeper.confinement.scratch}),
            flush=True,
        )
    began = time.monotonic()
    if stop_after_s is None:
        status = keeper.wait()
    else:
        time.sleep(stop_after_s)
        began = time.monotonic()
        status = keeper.stop(grace_s)
    import msgspec

    return {
        "status": status,
        "seconds": time.monotonic() - began,
        "keeper_status": keeper._process.returncode,
        "confinement": msgspec.to_builtins(keeper.confinement),
        "ended": msgspec.to_builtins(keeper.ended),
    }


if __name__ == "__main__":
    request = json.loads(sys.argv[1])
    roots = request.pop("interpreter_roots", [])
    if request.pop("nobody", False):
        become_nobody(roots)
    print(json.dumps(drive(**request)))
