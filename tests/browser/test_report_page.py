"""report.html of a real run in a real browser: all of it is there, it is true, and it asks nobody for anything."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.browser.browser import missing, opened
from tests.e2e.driver import ioprof

WHY = missing()
pytestmark = [pytest.mark.skipif(WHY is not None, reason=WHY or ""), pytest.mark.alone]
RUN = (
    "run", "small-files", "--files", "2k", "--file-size", "16KiB", "--batch-size", "16", "--compute", "3ms",
    "--duration", "3s", "--quiet", "--store", "./<b>data</b>",
)  # fmt: skip
SECTIONS = ["verdict", "idle", "roofline", "timeline", "latency", "over-time", "store", "findings", "facts"]
LEAST_CONTRAST = 4.5
"""Of text and its ground: level AA."""


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run as a user makes it, with its page."""
    folder = tmp_path_factory.mktemp("page")
    done = ioprof(*RUN, cwd=folder)
    assert done.returncode == 0, done.stderr
    return next((folder / "results").iterdir())


def _value(summary: dict[str, Any], key: str) -> float:
    found: Any = summary
    for part in key.split("."):
        found = found[part]
    return float(found)


@pytest.mark.parametrize("width", [1440, 390])
def test_every_section_shows_what_summary_json_says(run_folder: Path, tmp_path: Path, width: int) -> None:
    """Through the menu to each section; charts drawn, tables opened, numbers compared, no complaint, no request."""
    summary = json.loads((run_folder / "summary.json").read_text())
    with opened(run_folder / "report.html", width=width, profile=tmp_path / "profile") as page:
        links = page.find("nav a")
        assert [link.get_attribute("href").partition("#")[2] for link in links] == SECTIONS
        for link, name in zip(links, SECTIONS, strict=True):
            page.ask("arguments[0].click()", link)
            assert page.ask("return document.getElementById(arguments[0]).querySelector('h2').innerText", name)
        page.draw_all()
        for fold in page.find("details"):
            page.ask("arguments[0].querySelector('summary').click()", fold)
            assert fold.get_attribute("open") is not None
        shown = {one.get_attribute("data-key"): one for one in page.find("data[data-key]")}
        assert len(shown) > 30
        for key, element in shown.items():
            assert float(element.get_attribute("value")) == _value(summary, key), key
        large = page.find(".headline data")[0]
        told = float(re.sub(r"[^0-9.]", "", large.text))
        assert told == pytest.approx(100 * summary["accelerator_utilization"], abs=0.051)
        idle = page.ask("return document.querySelector('#chart-idle-by-cause .plot').data")
        charged = sum(one["x"][0] for one in idle if one["y"][0] == "charged")
        assert charged == pytest.approx(summary["idle_s"], rel=1e-3)
        assert page.ask("return document.documentElement.scrollWidth") <= width
        assert "<b>data</b>" in page.find("header p")[0].text
        assert page.complaints() == []
        assert page.requests() == []


@pytest.mark.parametrize("is_dark", [False, True], ids=["light", "dark"])
def test_text_stands_out_from_its_ground(run_folder: Path, tmp_path: Path, is_dark: bool) -> None:
    """Every colour of text that is in use, on the ground behind it, at level AA; charts follow."""
    with opened(run_folder / "report.html", width=1440, profile=tmp_path / "profile", is_dark=is_dark) as page:
        page.draw_all()
        ratios = page.ask(CONTRASTS)
        assert len(ratios) > 20
        assert min(ratio for ratio, _ in ratios) >= LEAST_CONTRAST, min(ratios)
        assert page.complaints() == []


def test_it_prints_and_can_be_read_without_seeing_it(run_folder: Path, tmp_path: Path) -> None:
    """Paper gets charts too; headings have an order, charts a sentence, links a name."""
    with opened(run_folder / "report.html", width=1440, profile=tmp_path / "profile") as page:
        page.draw_all()
        assert page.printed().startswith(b"%PDF-")
        levels = [int(one.tag_name[1]) for one in page.find("h1, h2, h3")]
        assert levels[0] == 1 and all(after - before <= 1 for before, after in itertools.pairwise(levels))
        for plot in page.find(".plot"):
            assert plot.get_attribute("role") == "img" and plot.get_attribute("aria-label").endswith(".")
        assert page.ask("return document.documentElement.lang") == "en"
        page.ask("document.querySelector('.skip').focus()")
        assert page.ask("return document.activeElement.getBoundingClientRect().left") >= 0
        for figure in page.find("figure.command"):
            page.ask("arguments[0].querySelector('button').click()", figure)
            assert page.ask("return arguments[0].querySelector('button').innerText", figure) != ""


CONTRASTS = """
const parts = text => text.match(/[0-9.]+/g).map(Number);
const linear = v => v / 255 <= 0.03928 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4;
const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
const ground = element => {
  for (; element; element = element.parentElement) {
    const found = parts(getComputedStyle(element).backgroundColor);
    if (found.length < 4 || found[3] > 0) { return found; }
  }
  return [255, 255, 255];
};
const texts = 'p, h1, h2, h3, a, td, th, caption, summary, figcaption, code, button, .detail, .large';
return Array.from(document.querySelectorAll(texts))
  .filter(element => element.innerText && element.getClientRects().length)
  .map(element => {
    const [a, b] = [light(parts(getComputedStyle(element).color)), light(ground(element))].sort((x, y) => y - x);
    return [(a + 0.05) / (b + 0.05), element.tagName + ' ' + element.className + ': ' + element.innerText.slice(0, 40)];
  });
"""
