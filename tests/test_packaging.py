"""What is installed is what is in the tree."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]


def test_every_package_in_the_tree_is_listed_or_it_would_be_missing_from_the_wheel():
    found = set()
    for folder, name in (("tuner", "gputune"), ("probes", "gputune.probes")):
        for init in (ROOT / folder).rglob("__init__.py"):
            parts = init.parent.relative_to(ROOT / folder).parts
            found.add(".".join([name, *parts]))
    assert set(SETUPTOOLS["packages"]) == found


def test_nothing_shadows_the_probes():
    assert not list((ROOT / "tuner").glob("probes*"))


def test_probes_never_import_the_tuner():
    for path in (ROOT / "probes").rglob("*.py"):
        for line in path.read_text().splitlines():
            words = line.split()
            if words[:1] in (["from"], ["import"]) and len(words) > 1 and words[1].split(".")[0] == "gputune":
                # The site file only asks whether gputune is there, before it imports anything of the agent.
                only_asks = path.name == "sitecustomize.py" and words[:2] == ["import", "gputune"]
                assert only_asks or words[1].startswith("gputune.probes"), f"{path}: {line}"


def test_the_readme_names_the_test_command_that_ci_runs():
    assert "make test" in (ROOT / "README.md").read_text()
    assert "make test" in (ROOT / ".ci" / "run").read_text()
