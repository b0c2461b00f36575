"""``gputune run``: the unmodified script with the recommended settings."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

_EXAMPLES = """\
examples:
  gputune run train.py --lr 3e-4
  gputune run --config gputune.yaml -m package.train --lr 3e-4

Without --config the last run of this script with a recommendation is applied.
What was applied to which loader, and what was not, is said on stderr. The exit
status is the script's own. GPUTUNE_DISABLE=1 makes this a plain python.
"""


class Run:
    """Apply settings to an unmodified script."""

    name = "run"
    help = "run a script with the recommended settings, without editing it"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Add the options."""
        from gputune.arguments import add_script

        parser.epilog = _EXAMPLES
        parser.add_argument(
            "--config", metavar="FILE|RUN", help="exported configuration, or a run (default: the last one)"
        )
        parser.add_argument(
            "--results-dir", type=Path, default=Path("results"), metavar="DIR", help="where runs are kept"
        )
        add_script(parser)

    def run(self, arguments: argparse.Namespace) -> int:
        """Replace this process by the script, with the settings in its environment."""
        from gputune import applying
        from gputune.probes import attach, knob
        from gputune.script import parse

        script = parse(arguments.script, arguments.module)
        config = applying.load(arguments.config, arguments.results_dir, script)
        path = applying.store(config)
        env = attach.environment(os.environ, mode="apply", scope=script.scope, config=str(path))
        if config.knobs:
            env[knob.VARIABLE] = knob.environment(config.knobs.items())
        obstacle = attach.obstacle(script.argv)
        if obstacle:
            print(f"gputune: nothing is applied to this process itself: {obstacle}", file=sys.stderr)
        os.execvpe(script.argv[0], script.argv, env)
