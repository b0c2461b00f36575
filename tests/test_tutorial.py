"""The tutorial shows real output: that of the stored runs in docs/tutorial/, as today's code prints it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gputune import compare, record
from gputune.commands.compare import text
from gputune.report import console

DOCS = Path(__file__).parents[1] / "docs"
MEASURED = DOCS / "tutorial"
BLOCK = re.compile(r"<!-- (\w+) -->\n(?:```\w*\n.*?\n```\n)?", re.DOTALL)


def output(name: str) -> str:
    before, after = (record.load(MEASURED / f"{which}.json") for which in ("before", "after"))
    if name == "loader":
        source = (DOCS.parent / "examples" / "remote_storage.py").read_text().splitlines()
        return next(line.strip() for line in source if "loader = DataLoader(" in line)
    if name == "progress":
        lines = (MEASURED / "profile.txt").read_text().splitlines()
        return "\n".join(line for line in lines if re.match(r" +\d+\.\ds  ", line))
    if name == "report":
        return console.render(before)
    if name == "compare":
        return text(before, after, compare.of(before, after))
    return (MEASURED / {"export": "export.txt", "patch": "train.patch"}[name]).read_text()


def written(page: str) -> str:
    def block(found: re.Match[str]) -> str:
        kind = {"loader": "python", "patch": "diff"}.get(found[1], "text")
        return f"<!-- {found[1]} -->\n```{kind}\n{output(found[1]).rstrip()}\n```\n"

    return BLOCK.sub(block, page)


def test_the_tutorial_shows_what_the_stored_runs_print(request: pytest.FixtureRequest) -> None:
    page = DOCS / "tutorial.md"
    if request.config.getoption("--overwrite"):
        page.write_text(written(page.read_text(encoding="utf-8")), encoding="utf-8")
    current = page.read_text(encoding="utf-8")
    assert current == written(current), "write it with: pytest --overwrite tests/test_tutorial.py"
    assert len(BLOCK.findall(current)) == 6


def test_the_tutorials_run_proved_something_and_the_run_after_it_is_faster() -> None:
    before, after = (record.load(MEASURED / f"{which}.json") for which in ("before", "after"))
    assert before.recommendation is not None
    assert compare.of(before, after).change is compare.Change.FASTER


@pytest.mark.parametrize("name", ["index", "tutorial", "how-it-works", "faq", "comparison"])
def test_every_link_of_the_docs_leads_somewhere(name: str) -> None:
    page = DOCS / f"{name}.md"
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    for target in targets:
        if not target.startswith("https://"):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
    assert targets or name == "tutorial"


def test_the_pictures_are_those_that_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import runpy

    drawn = runpy.run_path(str(DOCS / "pictures" / "draw.py"))
    monkeypatch.setitem(drawn["picture"].__globals__, "HERE", tmp_path)
    for name in ("swap", "ceiling", "proof", "parts_of_it"):
        drawn[name]()
    for made in tmp_path.glob("*.svg"):
        assert made.read_text() == (DOCS / "pictures" / made.name).read_text()
    assert len(list(tmp_path.glob("*.svg"))) == 4
