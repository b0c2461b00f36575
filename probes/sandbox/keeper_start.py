"""Entry point of the keeper: ``python -I -S keeper_start.py DESCRIPTOR``.

Without ``site`` an installed or editable gputune cannot be imported, and importing the whole package would
cost more than the sandbox does. So the package names are bound to this folder alone.
"""

import os
import sys
import types

for _name in ("gputune", "gputune.probes", "gputune.probes.sandbox"):
    _package = types.ModuleType(_name)
    _package.__path__ = [os.path.dirname(os.path.abspath(__file__))] if _name.endswith("sandbox") else []
    sys.modules[_name] = _package

from gputune.probes.sandbox import keeper  # noqa: E402 - needs the names above

keeper.main(int(sys.argv[1]))
