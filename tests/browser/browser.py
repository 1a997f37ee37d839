"""Debian's Chromium without a window, with everything it would do in the network turned off."""

from __future__ import annotations

import base64
import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
PATIENCE_S = 30.0


def missing() -> str | None:
    """Return why there is no browser to test with; None: there is."""
    try:
        import selenium  # noqa: F401
    except ImportError:
        return "selenium is not installed: pip install -e '.[test]'"
    if CHROMIUM is None or DRIVER is None:
        return "no browser: apt-get install chromium chromium-driver"
    return None


@dataclass(frozen=True, slots=True)
class Page:
    """An open page."""

    driver: Any
    opened_s: float
    """How long it took until the page's own scripts had run."""

    def find(self, selector: str) -> list[Any]:
        """Return the elements of a CSS selector."""
        return list(self.driver.find_elements("css selector", selector))

    def ask(self, script: str, *arguments: object) -> Any:  # noqa: ANN401 - whatever the script returns
        """Return what a script returns."""
        return self.driver.execute_script(script, *arguments)

    def draw_all(self) -> None:
        """Scroll to every chart, as a reader does, and wait until it is drawn."""
        for figure in self.find("figure.chart"):
            self.ask("arguments[0].scrollIntoView()", figure)
            deadline = time.monotonic() + PATIENCE_S
            while figure.get_attribute("data-drawn") != "yes":
                assert time.monotonic() < deadline, f"{figure.get_attribute('id')} was never drawn"
                time.sleep(0.05)

    def complaints(self) -> list[str]:
        """Return what the console says, refusals by the page's policy included."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """Return every address that was asked for; files, what pages make themselves and the browser's own apart."""
        sent = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        urls = [one["params"]["request"]["url"] for one in sent if one["method"] == "Network.requestWillBeSent"]
        return [url for url in urls if not url.startswith(("file:", "data:", "blob:", "about:", "chrome:"))]

    def printed(self) -> bytes:
        """Return the page as a PDF."""
        return base64.b64decode(self.driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": False})["data"])


@contextmanager
def opened(path: Path, *, width: int, profile: Path, is_dark: bool = False) -> Iterator[Page]:
    """Open a file in a new browser of a given width."""
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    try:
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        started = time.monotonic()
        driver.get(path.resolve().as_uri())
        yield Page(driver, time.monotonic() - started)
    finally:
        driver.quit()
