"""What docs/ci.md tells people to copy is valid, and its commands are ours."""

from __future__ import annotations

import ast
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from gputune.check_options import CheckOptions
from gputune.cli import build_parser
from gputune.requirement import METRICS, parse_all

TEXT = (Path(__file__).parents[1] / "docs" / "ci.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
WORKFLOW, GITLAB = (yaml.safe_load(body) for language, body in BLOCKS if language == "yaml")


def commands() -> list[str]:
    """Every ``gputune check`` of the page, of its workflows and of its terminal examples."""
    steps = [step["run"] for job in WORKFLOW["jobs"].values() for step in job["steps"] if "run" in step]
    shell = [line for language, body in BLOCKS if not language for line in body.splitlines()]
    found = [line for line in (*steps, *GITLAB["performance"]["script"], *shell) if line.startswith("gputune check")]
    assert len(found) == 8
    return found


def test_the_github_workflow_has_what_actions_requires() -> None:
    # YAML 1.1 reads the key `on` as true.
    assert set(WORKFLOW) == {"name", True, "permissions", "jobs"}
    for job in WORKFLOW["jobs"].values():
        assert {"runs-on", "timeout-minutes", "steps"} <= set(job)
        for step in job["steps"]:
            assert ("run" in step) != ("uses" in step)
            assert set(step) <= {"name", "run", "uses", "with", "if"}
            assert "uses" not in step or re.fullmatch(r"[\w-]+/[\w-]+@v\d+", step["uses"])
    checkout = WORKFLOW["jobs"]["gputune"]["steps"][0]
    assert checkout["with"]["fetch-depth"] == 0  # --against needs the other branch


def test_the_gitlab_file_has_what_gitlab_requires() -> None:
    job: dict[str, Any] = GITLAB["performance"]
    known = {"image", "stage", "timeout", "variables", "rules", "script", "artifacts"}
    assert set(job) == known
    assert all(isinstance(line, str) for line in job["script"])
    assert job["variables"]["GIT_DEPTH"] == "0"
    written = [word for line in job["script"] for word in re.findall(r"--junit (\S+)", line)]
    assert job["artifacts"]["reports"]["junit"] == written


@pytest.mark.parametrize("line", commands())
def test_every_command_shown_is_one_we_understand(line: str) -> None:
    arguments = build_parser().parse_args(shlex.split(line, comments=True)[1:])
    assert arguments.verb == "check"
    parse_all(arguments.require)


def test_the_table_shown_is_one_we_read() -> None:
    (body,) = [body for language, body in BLOCKS if language == "toml"]
    options = msgspec.convert(tomllib.loads(body)["tool"]["gputune"]["check"], CheckOptions)
    assert [requirement.name for requirement in parse_all(options.require)] == ["starvation", "max_regression"]


def test_the_test_shown_is_python() -> None:
    (body,) = [body for language, body in BLOCKS if language == "python"]
    assert "gputune_check" in ast.unparse(ast.parse(body))


def test_every_metric_is_described() -> None:
    assert all(f"`{name}`" in TEXT for name in METRICS)
