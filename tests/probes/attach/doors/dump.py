"""Prints all that a program can see of how it was started; argv[1]: how it ends."""

import json
import os
import shutil
import sys

import __main__

if "torch" in sys.argv:
    import torch.utils.data.dataloader  # noqa: F401

spec = __main__.__spec__
seen = {
    "argv": sys.argv,
    "orig_argv": sys.orig_argv,
    "file": __file__,
    "name": __name__,
    "main_spec": spec and [spec.name, spec.origin, spec.parent, type(spec.loader).__name__],
    "main_names": sorted(vars(__main__)),
    "path": sys.path,
    "cwd": os.getcwd(),
    "flags": str(sys.flags),
    "executable": sys.executable,
    "meta_path": [str(getattr(finder, "__name__", type(finder).__name__)) for finder in sys.meta_path],
    "path_hooks": len(sys.path_hooks),
    "site": sorted(name for name in sys.modules if name.endswith("customize")),
    "user_site_ran": getattr(sys, "user_site_ran", None),
    "isatty": [os.isatty(fd) for fd in range(3)],
    "terminal": shutil.get_terminal_size(),
    "environment": dict(os.environ),
}
print("DUMP " + json.dumps(seen), flush=True)


def fall():
    import torch.utils.data as data

    def collate(items):
        raise ValueError("the user's own")

    for _ in data.DataLoader(range(8), batch_size=2, collate_fn=collate):
        pass


if sys.argv[1] == "raise":
    fall()
sys.exit({"exit": 7}.get(sys.argv[1], 0))
