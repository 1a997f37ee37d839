"""The pages of a comparison, a tuning and a results folder in a real browser."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.browser.browser import missing, opened
from tests.e2e.driver import ioprof

WHY = missing()
pytestmark = [pytest.mark.skipif(WHY is not None, reason=WHY or ""), pytest.mark.alone]
SUITE = Path(__file__).parents[2] / "results" / "published" / "suite-quick"
EVIL = "evil'run & <b>"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Kept runs, one of them under a name that tries to be markup and shell."""
    for found in sorted(SUITE.glob("2*")):
        shutil.copytree(found, tmp_path / "results" / found.name)
    shutil.copytree(next(SUITE.glob("*-small-files-*")), tmp_path / "results" / EVIL)
    return tmp_path


def test_the_index_filters_sorts_and_picks(folder: Path, tmp_path: Path) -> None:
    """Words narrow the table, heads sort it, two picked runs give the command that compares them."""
    done = ioprof("index", "results", cwd=folder)
    assert (done.returncode, done.stdout.strip()) == (0, "results/index.html"), done.stderr
    with opened(folder / "results" / "index.html", width=1440, profile=tmp_path / "profile") as page:
        rows = page.find("#run-table tbody tr")
        assert len(rows) == len(list((folder / "results").iterdir())) - 1
        rates = "return Array.from(document.querySelectorAll('#run-table tbody tr')).map(r => r.cells[7].dataset.value)"
        page.ask("document.querySelector('button.sort[data-column=\"6\"]').click()")
        falling = [float(value) for value in page.ask(rates) if value]
        assert falling == sorted(falling, reverse=True) and len(falling) > 3
        page.find("#filter")[0].send_keys("small-files evil")
        visible = [row for row in page.find("#run-table tbody tr") if row.is_displayed()]
        assert [row.find_element("css selector", "th").text for row in visible] == [EVIL]
        assert page.find("#shown")[0].text == "1 shown"
        page.ask("document.querySelectorAll('#run-table input').forEach((box, at) => { if (at < 1) { box.click(); } })")
        visible[0].find_element("css selector", "input").click()
        command = page.find("#picked code")[0].text
        assert command.startswith("ioprof compare ") and "'results/evil'\\''run & <b>'" in command
        assert page.complaints() == [] and page.requests() == []


def test_a_comparison_draws_its_ratios(folder: Path, tmp_path: Path) -> None:
    """One picture of ratios, one of each kind's latencies, no complaint; on a phone too."""
    first = next((folder / "results").glob("*-small-files-*")).name
    done = ioprof("compare", f"results/{first}", f"results/{EVIL}", "--html", "c.html", cwd=folder)
    assert done.returncode == 0, done.stderr
    with opened(folder / "c.html", width=390, profile=tmp_path / "profile") as page:
        page.draw_all()
        names = [one.get_attribute("id") for one in page.find("figure.chart")]
        assert {"chart-ratios-B", "chart-latency-read"} <= set(names)
        ratios = page.ask("return document.querySelector('#chart-ratios-B .plot').data[0].x")
        assert set(ratios) == {1.0}
        assert page.ask("return document.documentElement.scrollWidth") <= 390
        assert page.complaints() == [] and page.requests() == []


def test_a_tuning_draws_its_curve(tmp_path: Path) -> None:
    """Every point of tune.json, the recommendation marked."""
    words = ("--files", "400", "--file-size", "4KiB", "--batch-size", "8", "--compute", "2ms", "--duration", "1s")
    done = ioprof("tune", "small-files", *words, "--budget", "4s", "--max-workers", "2", "--quiet", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    directory = next((tmp_path / "results").glob("*-tune-*"))
    assert ioprof("report", str(directory), "--html", cwd=tmp_path).returncode == 0
    record = json.loads((directory / "tune.json").read_text())
    with opened(directory / "report.html", width=1440, profile=tmp_path / "profile") as page:
        page.draw_all()
        star = page.ask("return document.querySelector('#chart-tuning-curve .plot').data.slice(-1)[0]")
        assert (star["name"], star["x"]) == ("recommended", [record["chosen"]["setting"]["workers"]])
        assert page.complaints() == [] and page.requests() == []
