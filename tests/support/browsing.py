"""Chromium without a window, for tests that look at pages."""

from __future__ import annotations

import base64
import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from requirements import browser as chromium
from requirements import require

SIZES = {"desktop": (1280, 900), "phone": (375, 812)}
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)


class Browser:
    """A page in Chromium, at a width and in a color scheme."""

    def __init__(self, driver: Any, artifacts: Path) -> None:
        self.driver = driver
        self.artifacts = artifacts
        self.width = 0

    def open(self, path: Path, size: str = "desktop", scheme: str = "light") -> None:
        self.width, height = SIZES[size]
        metrics = {"width": self.width, "height": height, "deviceScaleFactor": 1, "mobile": size == "phone"}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        self.driver.get_log("browser")
        self.driver.get_log("performance")
        self.driver.get(path.as_uri())
        if self.driver.find_elements("id", "report-data"):
            # Charts below the first screen are drawn after the load event.
            for _ in range(500):
                if self.js("document.documentElement.dataset.charts") == "drawn":
                    return
                time.sleep(0.02)
            raise AssertionError(f"{path.name}: the charts were not drawn within ten seconds")

    def js(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(f"return {script}", *arguments)

    def all(self, selector: str) -> list[Any]:
        """The elements that can be seen; the page is asked again where it redraws them meanwhile."""
        from selenium.common.exceptions import StaleElementReferenceException

        for _ in range(50):
            try:
                elements = self.driver.find_elements("css selector", selector)
                return [element for element in elements if element.is_displayed()]
            except StaleElementReferenceException:
                time.sleep(0.02)
        raise AssertionError(f"{selector} was redrawn 50 times while it was looked at")

    def one(self, selector: str) -> Any:
        return self.all(selector)[0]

    def choose(self, selector: str, value: str) -> None:
        from selenium.webdriver.support.ui import Select

        Select(self.one(selector)).select_by_value(value)

    def press(self, *keys: str) -> None:
        self.driver.switch_to.active_element.send_keys(*keys)

    def screenshot(self, name: str) -> None:
        height = min(self.js("document.documentElement.scrollHeight"), 9000)
        clip = {"x": 0, "y": 0, "width": self.width, "height": height, "scale": 1}
        shot = self.driver.execute_cdp_cmd(
            "Page.captureScreenshot", {"format": "png", "captureBeyondViewport": True, "clip": clip}
        )
        (self.artifacts / f"{name}.png").write_bytes(base64.b64decode(shot["data"]))

    def requests(self) -> list[str]:
        messages = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        sent = [message for message in messages if message["method"] == "Network.requestWillBeSent"]
        return [message["params"]["request"]["url"] for message in sent]


@contextmanager
def opened_browser(folders: Any, artifacts: Path | None = None) -> Iterator[Browser]:
    """A browser with a profile of its own.

    :param folders: pytest's ``tmp_path_factory``.
    :param artifacts: folder for screenshots.
    """
    require("browser")
    chromedriver = shutil.which("chromedriver")
    assert chromedriver is not None
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(chromium())
    for flag in (*FLAGS, f"--user-data-dir={folders.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(chromedriver))
    try:
        yield Browser(driver, artifacts or folders.mktemp("screenshots"))
    finally:
        driver.quit()
