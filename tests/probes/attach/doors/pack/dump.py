"""The dump, as a module of a package."""

from pathlib import Path

source = Path(__file__).parents[1] / "dump.py"
exec(compile(source.read_text(), str(source), "exec"))
