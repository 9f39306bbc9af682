"""Takes the picture of the report that the README shows: the top of the demo's page in Chromium, desktop width, light.

Run ``crossalign demo --json demo.json`` first, then ``python tools/make_screenshot.py demo.json docs/report.png``.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from haystack_crossalign.report.html import render_html

WIDTH, HEIGHT = 1280, 1560
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--disable-sync")


def main() -> None:
    """Render the page of a result and write the picture of its top."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("result", type=Path, help="JSON of an audit")
    parser.add_argument("picture", type=Path, help="PNG to write")
    chosen = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("Chromium is missing: apt-get install chromium")
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        page.write_text(render_html(json.loads(chosen.result.read_text(encoding="utf-8"))), encoding="utf-8")
        command = [chromium, *FLAGS, f"--user-data-dir={folder}/profile", f"--window-size={WIDTH},{HEIGHT}"]
        command += [f"--screenshot={chosen.picture.resolve()}", page.as_uri()]
        subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - a fixed program with our own page


if __name__ == "__main__":
    main()
