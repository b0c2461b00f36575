import json
import subprocess
import sys

import pytest

PROGRAM = """
import argparse, sys
from gputune.commands.doctor import Doctor
parser = argparse.ArgumentParser()
Doctor().configure(parser)
status = Doctor().run(parser.parse_args(sys.argv[1:]))
print(sorted({"torch", "optuna", "scipy", "numpy"} & set(sys.modules)), file=sys.stderr)
sys.exit(status)
"""


def doctor(*options: str, before: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", before + PROGRAM, *options],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(autouse=True)
def _same_import_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", ":".join(filter(None, sys.path)))
    monkeypatch.setenv("COLUMNS", "78")


def test_json_goes_to_stdout_whole_and_alone() -> None:
    done = doctor("--json")
    assert done.returncode == 0, done.stderr
    facts = {fact["name"]: fact for fact in json.loads(done.stdout)["facts"]}
    assert {"gputune", "Python", "torch", "GPU", "CPUs", "memory", "open files limit", "sandbox"} <= set(facts)


def test_the_table_fits_78_columns_and_marks_limits_without_colour() -> None:
    done = doctor()
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert max(len(line) for line in lines) <= 78
    assert any(line.split()[:1] == ["torch"] or line.split()[1:2] == ["torch"] for line in lines)
    assert "\x1b[" not in done.stdout


def test_it_imports_neither_torch_nor_other_heavy_packages() -> None:
    assert doctor("--json").stderr.strip() == "[]"


def test_advice_follows_the_table() -> None:
    done = doctor(before="import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))")
    table, _, advice = done.stdout.partition("What limits this machine")
    assert "! open files limit 256" in " ".join(table.split())
    assert "ulimit -n" in advice
