"""Where CI people look: JUnit, GitHub, the log."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import check_factory as checks
import pytest
import run_factory as factory

from gputune import gate
from gputune.report import check_lines, github, junit
from gputune.requirement import parse_all

ASKED = parse_all(["throughput >= 600", "starvation < 5%", "gpu_util >= 80%"])


@pytest.fixture
def run():
    return checks.run(loader=factory.site(file="/home/ana/project/data, old:1/train.py"))


@pytest.mark.parametrize(("policy", "failures", "skipped"), [("", 1, 1), ("pass", 1, 1), ("fail", 2, 0)])
def test_junit_counts_what_ci_shows(run, policy: str, failures: int, skipped: int) -> None:
    suite = ElementTree.fromstring(junit.render(run, gate.evaluate(run, ASKED), inconclusive=policy)).find("testsuite")
    assert suite is not None
    assert {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": "3", "failures": str(failures), "errors": "0", "skipped": str(skipped),
    }  # fmt: skip
    assert [case.get("name") for case in suite.iter("testcase")] == [requirement.text for requirement in ASKED]
    failure = suite.find("testcase/failure")
    assert failure is not None
    assert "measured 19" in failure.get("message", "")


def test_junit_survives_whatever_a_script_prints() -> None:
    data = junit.failed("train.py", "it failed\n\x00\x1b[31m<red> & \ufffe", "2026-11-24T10:00:00")
    assert ElementTree.fromstring(data).find("testsuite/testcase/error") is not None


def test_annotations_point_at_the_line_of_the_loader(run) -> None:
    lines = github.workflow_commands(run, gate.evaluate(run, ASKED), Path("/home/ana/project"))
    assert [line.split(" ")[0] for line in lines] == ["::error", "::warning"]
    assert lines[0].startswith("::error file=data%2C old%3A1/train.py,line=57,title=gputune check::required starv")
    assert "5%25" in lines[0]
    assert all("\n" not in line for line in lines)


def test_the_summary_begins_with_the_checks_and_stays_under_the_cap(run, monkeypatch: pytest.MonkeyPatch) -> None:
    gated = gate.evaluate(run, ASKED)
    text = github.summary(run, gated)
    assert text.startswith("### gputune check: fail, 1 of 3 checks")
    assert "❌ fail | `starvation < 5%`" in text
    assert "<details>" in text
    monkeypatch.setattr(github, "MAX_SUMMARY_BYTES", 500)
    short = github.summary(run, gated)
    assert len(short.encode()) <= 500
    assert "<details>" not in short


def test_a_log_is_plain_ascii_and_ends_with_the_whole_answer(run) -> None:
    text = check_lines.render(run, gate.evaluate(run, ASKED), symbols=False)
    assert text.isascii()
    assert text.splitlines()[-1].startswith("gputune check: fail, 1 of 3 checks; starvation < 5%, measured 19")
    assert "✗ fail" in check_lines.render(run, gate.evaluate(run, ASKED), symbols=True)
