"""Reports and scans in a browser, at a desktop's and a phone's width, light and dark: what a person would see."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
WIDTHS = (1280, 375)  # pixels
# A page around the page, which looks into it when it has loaded: the report itself runs no script.
LOOK = """<!DOCTYPE html><meta charset="utf-8"><body style="margin:0">
<iframe id="frame" src="{page}" style="border:0;width:{width}px;height:4000px"></iframe><pre id="seen"></pre>
<script>
const frame = document.getElementById("frame");
const luminance = colour => {{
  const [r, g, b] = colour.match(/[\\d.]+/g).map(Number).map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}};
const behind = (node, view) => {{
  for (; node; node = node.parentElement) {{
    const colour = view.getComputedStyle(node).backgroundColor;
    if (colour !== "rgba(0, 0, 0, 0)") return colour;
  }}
  return view.matchMedia("(prefers-color-scheme: dark)").matches ? "rgb(18, 18, 18)" : "rgb(255, 255, 255)";
}};
frame.onload = () => {{
  const page = frame.contentDocument, view = frame.contentWindow;
  const texts = [...page.querySelectorAll("h1, h2, h3, p, td, th, figcaption, dd, dt, li span, .heat span")];
  const contrast = node => {{
    const pair = [luminance(view.getComputedStyle(node).color), luminance(behind(node, view))].sort((a, b) => b - a);
    return (pair[0] + 0.05) / (pair[1] + 0.05);
  }};
  const figures = [...page.querySelectorAll("figure svg, img")];
  document.getElementById("seen").textContent = JSON.stringify({{
    dark: view.matchMedia("(prefers-color-scheme: dark)").matches,
    scroll: page.scrollingElement.scrollWidth, inner: view.innerWidth,
    figures: figures.map(node => node.getBoundingClientRect()).map(box => [box.width, box.height]),
    loaded: figures.every(node => node.tagName !== "IMG" || node.naturalWidth > 0),
    paper: figures.map(node => luminance(behind(node, view))),
    contrast: texts.length ? Math.min(...texts.map(contrast)) : 21, texts: texts.length,
    cut: [...page.querySelectorAll("svg text")].filter(node => node.textContent.includes("…")).length,
  }});
}};
</script>"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium"),
]


def look(page: Path, width: int, dark: bool) -> dict:
    """What a browser of this width shows of a page."""
    around = page.with_name(f"around-{width}-{dark}.html")
    around.write_text(LOOK.format(page=page.name, width=width), "utf-8")
    command = [
        str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update", "--disable-sync", "--allow-file-access-from-files", "--enable-logging=stderr",
        f"--blink-settings=preferredColorScheme={0 if dark else 1}", f"--user-data-dir={page.parent / 'profile'}",
        "--window-size=1400,4200", "--virtual-time-budget=20000", "--dump-dom", around.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    assert [line for line in done.stderr.splitlines() if ":CONSOLE" in line] == []
    found = re.search(r'<pre id="seen">(.+?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stdout[-500:]
    return json.loads(found[1])


def check(page: Path) -> None:
    for width in WIDTHS:
        for dark in (False, True):
            seen = look(page, width, dark)
            assert (seen["dark"], seen["inner"]) == (dark, width)
            assert seen["scroll"] <= width
            assert seen["figures"] and seen["loaded"]
            assert all(100 < wide <= width and high > 60 for wide, high in seen["figures"])
            assert min(seen["paper"]) > 0.8  # lines and letters of plots are dark
            assert seen["contrast"] >= 4.5
            assert seen["cut"] == 0


def test_a_report(run, text, tmp_path):
    names = []
    for name, data in (
        ("book.txt", text[:12_000]),
        ("a name that is rather long for a heading of a phone.bin", bytes(range(256)) * 8),
    ):
        (tmp_path / name).write_bytes(data)
        names.append(tmp_path / name)
    assert run("report", *names, "-o", tmp_path / "r.html", "--sample", "2K", "-q").status == 0
    page = (tmp_path / "r.html").read_text("utf-8")
    assert "Coded with preset default in" in page
    check(tmp_path / "r.html")


def test_the_plots_of_a_scan(run, text, tmp_path):
    (tmp_path / "data").write_bytes(text)
    options = ("--sizes", "1x16,1x32", "--table-bits", "8", "--fit-from", "4K", "-q")
    assert run("scan", tmp_path / "data", "-o", tmp_path / "scan", *options).status == 0
    plots = sorted((tmp_path / "scan").glob("*.svg"))
    assert plots
    images = "".join(
        f'<figure><img src="scan/{plot.name}" style="max-width:100%;background:#fff"></figure>' for plot in plots
    )
    (tmp_path / "scan.html").write_text(f'<!DOCTYPE html><body style="margin:0">{images}', "utf-8")
    check(tmp_path / "scan.html")
