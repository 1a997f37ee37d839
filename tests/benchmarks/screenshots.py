"""Takes the pictures of the README from a real run: its page in headless Chromium, its report in a terminal.

    python -m tests.benchmarks.screenshots        about half a minute; writes docs/images/

The store is a throttled one, so that there is something to see: 4 ms an operation, as a far filer gives.
"""

from __future__ import annotations

import base64
import io
import sys
import tempfile
from pathlib import Path

from PIL import Image
from rich.console import Console

from ioprof import load
from ioprof.report.terminal import render
from tests.browser.browser import Page, missing, opened
from tests.e2e.driver import ioprof

IMAGES = Path(__file__).parents[2] / "docs" / "images"
RUN = (
    "run", "small-files", "--files", "6k", "--file-size", "lognormal:64KiB:0.7", "--batch-size", "32",
    "--compute", "60ms", "--workers", "3", "--duration", "20s", "--quiet",
    "--store", "throttle+./data?latency=4ms&jitter=lognormal:0.6",
)  # fmt: skip
WIDTH = 1240
COLOURS = 64
PICTURES = {
    "report-verdict.png": ("header", "#idle"),
    "report-timeline.png": ("#timeline", "#timeline"),
    "report-latency.png": ("#latency", "#chart-latency-by-kind"),
}
"""From the top of one element to the end of another."""


def main() -> int:
    """Make the run and the pictures."""
    why = missing()
    if why is not None:
        print(why, file=sys.stderr)
        return 1
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        done = ioprof(*RUN, cwd=Path(scratch))
        if done.returncode:
            print(done.stderr, file=sys.stderr)
            return 1
        directory = next((Path(scratch) / "results").iterdir())
        with opened(directory / "report.html", width=WIDTH, profile=Path(scratch) / "profile") as page:
            page.draw_all()
            for name, (first, last) in PICTURES.items():
                _saved(page, first, last, IMAGES / name)
        _terminal(directory, IMAGES / "report-terminal.svg")
    print(*sorted(f"{path.name}: {path.stat().st_size / 1024:.0f} KiB" for path in IMAGES.iterdir()), sep="\n")
    return 0


def _saved(page: Page, first: str, last: str, path: Path) -> None:
    edges = "const box = document.querySelector(arguments[0]).getBoundingClientRect();"
    top = page.ask(f"{edges} return box.top + window.scrollY", first)
    bottom = page.ask(f"{edges} return box.bottom + window.scrollY", last)
    clip = {"x": 0, "y": max(0, top - 8), "width": WIDTH, "height": bottom - top + 16, "scale": 1}
    shot = page.driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
    picture = Image.open(io.BytesIO(base64.b64decode(shot["data"]))).convert("RGB").quantize(COLOURS)
    picture.save(path, optimize=True)


def _terminal(directory: Path, path: Path) -> None:
    console = Console(record=True, width=100, file=io.StringIO())
    run = load(directory)
    for line in render(run.summary, run.record, console.width):
        console.print(line, soft_wrap=True)
    console.save_svg(str(path), title="ioprof run small-files")


if __name__ == "__main__":
    sys.exit(main())
