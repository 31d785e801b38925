"""The page, looked at in a headless browser."""

import json
import os
import re
import shutil
import subprocess
from html import unescape

import pytest

from nnx_migrate.numerics.compare import LeafComparison
from nnx_migrate.report.proof.html import draw, render

PROGRAM = next((p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None)
# .ci/run installs one, so that these tests can't be left out there.
needs_browser = pytest.mark.skipif(
    PROGRAM is None and "NNX_MIGRATE_BROWSER" not in os.environ, reason="no Chromium is installed"
)

LOOK = """
<script>
window.addEventListener("load", () => {
  const visible = e => e.getBoundingClientRect().height > 0;
  const text = s => [...document.querySelectorAll(s)].filter(visible).map(e => e.innerText);
  const color = e => getComputedStyle(e).backgroundColor;
  const seen = {
    overflow: document.documentElement.scrollWidth - window.innerWidth,
    summary: [...document.querySelectorAll("#summary tr")].slice(1).map(r => r.innerText.split("\\t").slice(0, 3)),
    titles: text("section.model h2"),
    bars: [...document.querySelectorAll(".bar")].map(e => e.getBoundingClientRect().width),
    cells: [...document.querySelectorAll(".cells i")].map(color),
    before: text(".source td.before"),
    after: text(".source td.after"),
    skipped: text("ul.skipped li"),
    links: [...document.querySelectorAll("a")].every(a => document.querySelector(a.getAttribute("href"))),
    foreign: [...document.querySelectorAll("[src], link")].length,
    map: (document.querySelectorAll("details.map").forEach(d => d.open = true), text("details.map td")),
  };
  document.body.setAttribute("data-seen", JSON.stringify(seen));
});
</script>
"""


def look(page: str, folder, width: int = 1200) -> dict:
    """What a browser of that width shows."""
    assert PROGRAM is not None, "no Chromium is installed"
    file = folder / "page.html"
    file.write_text(page.replace("</body>", LOOK + "</body>"))
    quiet = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    quiet += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    options = [f"--user-data-dir={folder / 'profile'}", f"--window-size={width},900", "--dump-dom"]
    done = subprocess.run(
        [PROGRAM, *quiet, *options, file.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    found = re.search(r'data-seen="([^"]*)"', done.stdout)
    assert found is not None, done.stdout[-2000:]
    return json.loads(unescape(found[1]))


@needs_browser
@pytest.mark.parametrize("width", [1200, 500])
def test_the_page_in_a_browser(result, sides, tmp_path, width):
    seen = look(render(result, *sides), tmp_path, width)
    assert seen["overflow"] <= 0
    assert seen["summary"] == [
        ["models:Net", "equal", "16"],
        ["models:Net (bfloat16)", "error", "0"],
        ["models:Gone", "not compared", ""],
    ]
    assert [t.split()[-1] for t in seen["titles"]] == ["equal", "error", "compared"]
    assert seen["links"]
    assert seen["foreign"] == 0
    wide, narrow, unknown = seen["bars"]
    assert narrow < wide <= unknown
    assert len(set(seen["cells"])) == 3
    assert "    width: int  # <b>&amp;" in seen["before"]
    assert "    width: int = 3  # <b>&amp;" in seen["after"]
    assert seen["skipped"] == ["train/jit/state: raises on both sides: ValueError: <i>no</i>"]
    assert [text.strip() for text in seen["map"][:2]] == ["params/q\nparams/k", "a" * 120 + "/kernel"]


def test_no_text_of_the_project_becomes_markup(result, sides):
    page = render(result, *sides)
    assert "<script" not in page
    assert "<b>" not in page


@pytest.mark.parametrize(
    ("difference", "least", "most"), [(1e-12, 1, 5), (1e-6, 45, 55), (1.0, 100, 100), (1e9, 100, 100)]
)
def test_bars_are_logarithmic(difference, least, most):
    assert least <= draw(LeafComparison(("x",), "different", difference, 5)).bar <= most
