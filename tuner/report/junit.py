"""Checks as JUnit XML, the dialect that Jenkins, GitLab and GitHub actions read."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from gputune.gate import Gated
from gputune.judging import Check, Verdict
from gputune.record import Run
from gputune.report.check_lines import line

# What XML 1.0 forbids even when escaped: a script's output may hold it.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(run: Run, gated: Gated, *, inconclusive: str = "") -> bytes:
    """Return the report of a gated run.

    Args:
        run: what was gated.
        gated: its checks.
        inconclusive: ``fail`` shows an undecided check as a failure, otherwise it is skipped.
    """
    suite = _suite(" ".join(run.command), run.created_at, run.id)
    for check in gated.checks:
        case = _case(suite, check.requirement.text)
        _outcome(case, check, inconclusive)
        ElementTree.SubElement(case, "system-out").text = _clean(line(check))
    _count(suite)
    return _document(suite)


def failed(command: str, message: str, created_at: str, *, tag: str = "error") -> bytes:
    """Return the report of a check that could not be made, for example because the script failed.

    Args:
        command: what should have been measured.
        message: why it was not.
        created_at: ISO 8601.
        tag: ``error``, or ``skipped`` when nothing went wrong but nothing can be said.
    """
    suite = _suite(command, created_at, "")
    case = _case(suite, "the script can be measured")
    ElementTree.SubElement(case, tag, message=_clean(message.splitlines()[0])).text = _clean(message)
    _count(suite)
    return _document(suite)


def _suite(command: str, created_at: str, run: str) -> ElementTree.Element:
    timestamp = created_at[:19]
    suite = ElementTree.Element("testsuite", name="gputune check", timestamp=timestamp, time="0")
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in (("command", command), ("run", run)):
        ElementTree.SubElement(properties, "property", name=name, value=_clean(value))
    return suite


def _case(suite: ElementTree.Element, name: str) -> ElementTree.Element:
    return ElementTree.SubElement(suite, "testcase", classname="gputune", name=_clean(name), time="0")


def _outcome(case: ElementTree.Element, check: Check, inconclusive: str) -> None:
    if check.verdict is Verdict.PASS:
        return
    undecided = check.verdict is Verdict.INCONCLUSIVE and inconclusive != "fail"
    tag = "skipped" if undecided else "failure"
    message = f"measured {check.shown}" + (f": {check.reason}" if check.reason else "")
    ElementTree.SubElement(case, tag, message=_clean(message))


def _count(suite: ElementTree.Element) -> None:
    cases = suite.findall("testcase")
    suite.set("tests", str(len(cases)))
    for tag, name in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        suite.set(name, str(sum(case.find(tag) is not None for case in cases)))


def _document(suite: ElementTree.Element) -> bytes:
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    found: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return found + b"\n"


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("?", text)
