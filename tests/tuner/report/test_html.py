"""The page: self-contained, small, safe, accessible; drawn by a real browser in both themes and widths."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import escape
from pathlib import Path
from typing import Any

import msgspec
import pytest
import run_factory as factory

from gputune import record
from gputune.report import html, notebook

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--enable-logging=stderr", "--virtual-time-budget=4000", "--dump-dom",
)  # fmt: skip
FIGURES = ["ledger", "workers", "proof", "timeline-yours", "timeline-proposed", "service"]


def data_of(page: str) -> str:
    return re.search(r'<script type="application/json" id="run-data">(.*?)</script>', page, re.DOTALL)[1]


@pytest.mark.parametrize("name", factory.ALL)
def test_a_page_is_one_small_file_without_links_to_anywhere(name: str) -> None:
    page = html.render(factory.ALL[name]())
    assert len(page.encode()) < 300_000
    assert not re.findall(r'(?:src|href|action)="(?!data:,)[^"]*"', page)
    assert not re.findall(r"https?://|@import|url\((?!#)", page)


def test_even_a_huge_run_stays_under_the_limit_and_says_what_is_left_out() -> None:
    base = factory.burst(factory.Settings.make(num_workers=64), batches=4000, service_s=0.5)
    page = html.render(factory.run(baseline=base, loader=factory.site(settings=base.settings)))
    assert len(page.encode()) < 300_000
    assert "left out: see run.json" in page


def test_the_embedded_run_is_the_stored_run() -> None:
    run = factory.interrupted()
    assert msgspec.json.decode(data_of(html.render(run)), type=record.Run) == run


EVIL = "</script><script>alert(1)</script><!--<script>\u2028\"'&<img src=x onerror=alert(1)>"


def test_hostile_text_from_the_run_becomes_neither_markup_nor_script() -> None:
    run = factory.run(
        id=EVIL, command=[EVIL], missing=[EVIL], machine=record.Machine(gpu=EVIL, cpu_model=EVIL),
        loader=factory.site(file=f"/{EVIL}", dataset_class=EVIL), proof=None,
        trials=[msgspec.structs.replace(factory.run().trials[0], why=EVIL)],
    )  # fmt: skip
    page = html.render(run)
    assert "<img" not in page
    assert "alert(1)</script>" not in page
    assert page.count("<script") == 3
    assert json.loads(data_of(page))["id"] == EVIL


def test_figures_have_a_name_and_a_description() -> None:
    page = html.render(factory.detailed())
    for figure in FIGURES:
        assert re.search(rf'<svg [^>]*id="{figure}" role="img" aria-labelledby="{figure}-t {figure}-d"', page)
        assert re.search(rf'<desc id="{figure}-d">[^<]+</desc>', page)


def themes() -> list[dict[str, str]]:
    text = (Path(html.__file__).parent / "style.html").read_text()
    blocks = [
        dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", block)) for block in re.findall(r":root \{([^}]*)\}", text)
    ]
    return blocks[:2]


def luminance(color: str) -> float:
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


LINES = ("wait", "compute", "copy", "checkpoint", "validation", "logging", "epoch")
MARKS = ("accent", "ceiling", "user", "link", "compute", "fetch", "cpu", "quiet", "gpu")


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_text_and_marks_have_the_contrast_that_wcag_asks_for(theme: int) -> None:
    colors = themes()[theme]
    for ground in ("paper", "card"):
        assert all(contrast(colors[text], colors[ground]) >= 4.5 for text in ("ink", "quiet"))
        assert all(contrast(colors[mark], colors[ground]) >= 3 for mark in MARKS)
    assert contrast(colors["fetch"], colors["collate"]) >= 1.9
    assert all(contrast(colors[level], colors["grid"]) >= 2.5 for level in ("accent", "gpu", "cpu", "quiet"))
    assert {
        line: contrast(colors["on-bar"], colors[line])
        for line in LINES
        if contrast(colors["on-bar"], colors[line]) < 4.5
    } == {}


def test_a_notebook_shows_the_page_in_a_frame_of_its_own() -> None:
    run = factory.run()
    shown = run._repr_html_()
    assert shown == notebook.frame(run)
    assert 'sandbox="allow-scripts"' in shown
    assert shown.count("<iframe") == 1
    assert '"' not in re.search(r'srcdoc="([^"]*)"', shown)[1].replace("&quot;", "")


LANES = ["training thread", "events", "GPU busy", "script's CPU", "core 0", "core 1", "loading"]
SECTIONS = (
    "Proved settings", "Where the time goes", "Throughput over workers", "Proof", "Timeline",
    "Where loading spends its time, by line (sampled)", "Time to make one batch", "This machine's limits",
    "What was tried",
)  # fmt: skip


# ---- in a real browser
PROBE = """<script>
window.addEventListener("load", function () {
  var report = {};
  ["wide", "phone"].forEach(function (name) {
    var page = document.getElementById(name).contentDocument, root = page.documentElement;
    var boxes = {};
    page.querySelectorAll("svg[role=img]").forEach(function (svg) {
      var box = svg.getBoundingClientRect();
      var shapes = svg.querySelectorAll("rect,circle,path,polyline").length;
      boxes[svg.id] = [box.width, box.height, shapes, box.right];
    });
    page.querySelector('[data-zoom="2"]').click();
    var block = page.querySelector("[data-lanes]"), scroll = block.querySelector(".lane-scroll");
    function press(key) { scroll.dispatchEvent(new page.defaultView.KeyboardEvent("keydown", {key: key})); }
    press("End"); press("Home"); press("ArrowRight");
    var byKeys = block.querySelector(".reading").textContent;
    var area = block.querySelector(".lane-area"), box = area.getBoundingClientRect();
    area.dispatchEvent(new page.defaultView.PointerEvent("pointermove", {clientX: box.left + box.width / 2}));
    report[name] = {
      keys: byKeys, hover: block.querySelector(".reading").textContent,
      names: Array.from(block.querySelectorAll(".lane-names span")).map(function (s) { return s.textContent; }),
      sections: Array.from(page.querySelectorAll("h2")).map(function (h) { return h.textContent; }),
      unnamed: page.querySelectorAll("button:not([aria-label]):empty, svg[role=img]:not([aria-labelledby])").length,
      overflow: root.scrollWidth - root.clientWidth, boxes: boxes,
      ground: page.defaultView.getComputedStyle(page.body).backgroundColor,
      zoom: page.getElementById("timelines").style.getPropertyValue("--zoom"),
      id: JSON.parse(page.getElementById("run-data").textContent).id,
      focusable: page.querySelectorAll("button, [tabindex='0']").length
    };
  });
  document.getElementById("out").textContent = JSON.stringify(report);
});
</script>"""


def browse(folder: Path, page: str, *flags: str) -> tuple[dict[str, Any], list[str]]:
    """Load a page at 1600 and at 400 pixels; return what the browser made of it and its console messages."""
    frame = '<iframe id="{}" style="width:{}px;height:900px" srcdoc="{}"></iframe>'
    frames = frame.format("wide", 1600, escape(page)) + frame.format("phone", 400, escape(page))
    (folder / "outer.html").write_text(f'<!doctype html><meta charset="utf-8"><pre id="out"></pre>{frames}{PROBE}')
    command = [BROWSER, *FLAGS, *flags, f"--user-data-dir={folder / 'profile'}", "--window-size=1700,1000"]
    done = subprocess.run(
        [*command, (folder / "outer.html").as_uri()], capture_output=True, text=True, timeout=90, check=False
    )
    found = re.search(r'<pre id="out">(\{.*?\})</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    return json.loads(found[1]), [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine: apt-get install chromium")
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_real_browser_draws_every_figure_at_both_widths_without_complaint(theme: str, tmp_path: Path) -> None:
    run = factory.detailed()
    scheme = {"light": "1", "dark": "0"}[theme]
    report, console = browse(tmp_path, html.render(run), f"--blink-settings=preferredColorScheme={scheme}")
    assert console == []
    for name, width in (("wide", 1600), ("phone", 400)):
        seen = report[name]
        assert seen["overflow"] == 0, f"{name} scrolls sideways"
        assert sorted(seen["boxes"]) == sorted(FIGURES)
        for figure, (box_width, height, shapes, right) in seen["boxes"].items():
            assert box_width > 200, figure
            assert height > 40, figure
            assert shapes >= 3, figure
            assert right <= width or figure.startswith("timeline"), figure
        assert seen["zoom"] == "2"
        assert seen["names"] == LANES
        assert seen["keys"].startswith("12 ms · training thread step 1: 40 ms")
        assert re.match(r"2\.\d{3} s · events epoch 800 ms · GPU busy", seen["hover"])
        assert re.search(r"GPU busy \d+ % · script's CPU 1\.\d cores · core 0 \d+ % busy · core 1 \d+ %", seen["hover"])
        assert seen["unnamed"] == 0
        assert set(SECTIONS) <= set(seen["sections"])
        assert seen["id"] == run.id
        assert seen["focusable"] >= 8
        red = int(re.search(r"\d+", seen["ground"])[0])
        assert (red < 60) == (theme == "dark")
