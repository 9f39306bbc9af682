"""The HTML report of 10,000 queries in 12 languages: time to write it, its size, and time to open it.

Targets: under 5 s, under 5 MB, and under 1 s to open in Chromium without a window: from the navigation to the end of
its load event, after which tables sort and the charts of the first screen are drawn, or to the first paint if that is
later; the median of several openings in one browser. Charts further down are drawn after that, which is told beside it.
The queries are spread over the 12 languages, over one mixed pool; with --each every language asks 10,000 queries
of its own, with --mono the one-language pools are reported as well. Ranks and texts are
generated (tests/support/synthetic.py); generation is not timed.
"""

from __future__ import annotations

import argparse
import runpy
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from haystack_crossalign.report.html import render_html

LANGUAGES = ("en", "ar", "de", "el", "es", "hi", "ro", "ru", "th", "tr", "vi", "zh")
ROOT = Path(__file__).resolve().parents[2]
GENERATOR = ROOT / "tests" / "support" / "synthetic.py"
TARGET_SECONDS, TARGET_MEGABYTES, TARGET_OPEN = 5.0, 5.0, 1.0
OPENED = """
const [page] = performance.getEntriesByType("navigation");
const paints = performance.getEntriesByType("paint").map((paint) => paint.startTime);
return page.loadEventEnd > 0 && paints.length ? Math.max(page.loadEventEnd, ...paints) / 1000 : null;
"""
DRAWN = "return performance.getEntriesByName('charts').map((mark) => mark.startTime / 1000)"
SORTED = """
const button = document.querySelector("article:not([hidden]) table.headline button.sort");
const start = performance.now();
button.click();
document.body.offsetHeight;
return (performance.now() - start) / 1000;
"""


def generate(queries: int, mono: bool, xquad: Path | None) -> dict[str, Any]:
    synthetic_result = runpy.run_path(str(GENERATOR))["synthetic_result"]
    result: dict[str, Any] = synthetic_result(LANGUAGES, queries, mono=mono, xquad=xquad)
    return result


class _Folders:
    """What `opened_browser` takes of pytest."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def mktemp(self, name: str) -> Path:
        return Path(tempfile.mkdtemp(prefix=name, dir=self._root))


def open_times(path: Path, repeat: int) -> tuple[list[float], list[float], list[float]]:
    """Seconds to open a page, until its last chart is drawn, and to sort its first table by a click, several times."""
    sys.path[:0] = [str(ROOT / "tests" / "support"), str(ROOT / "tools")]
    from browsing import opened_browser

    opened, drawn, ordered = [], [], []
    with tempfile.TemporaryDirectory() as folder, opened_browser(_Folders(Path(folder))) as browser:
        for _ in range(repeat):
            browser.open(path)
            while (seconds := browser.driver.execute_script(OPENED)) is None:
                time.sleep(0.05)
            opened.append(seconds)
            drawn += browser.driver.execute_script(DRAWN)
            ordered.append(browser.driver.execute_script(SORTED))
    return opened, drawn, ordered


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=10_000, help="queries in all, or of each language with --each")
    parser.add_argument("--each", action="store_true", help="as many queries in each language")
    parser.add_argument("--mono", action="store_true", help="with the one-language pools")
    parser.add_argument("--xquad", type=Path, help="folder of the XQuAD files, for texts of real length")
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()

    per_language = options.queries if options.each else -(-options.queries // len(LANGUAGES))
    result = generate(per_language, options.mono, options.xquad)
    seconds, size = [], 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.html"
        for _ in range(options.repeat):
            start = time.perf_counter()
            path.write_text(render_html(result), encoding="utf-8")
            seconds.append(time.perf_counter() - start)
            size = path.stat().st_size
        opened, drawn, ordered = open_times(path, options.repeat)
    print(f"{len(result['queries']['row']):,} queries, {len(result['rows'])} rows, {len(LANGUAGES)} languages")
    print(f"{'':14}{'measured':>10}{'target':>10}{'ratio':>8}")
    for name, measured, target in (
        ("seconds", statistics.median(seconds), TARGET_SECONDS),
        ("megabytes", size / 1e6, TARGET_MEGABYTES),
        ("to open, s", statistics.median(opened), TARGET_OPEN),
    ):
        print(f"{name:14}{measured:10.2f}{target:10.2f}{measured / target:8.2f}")
    print(f"{'all charts, s':14}{statistics.median(drawn):10.2f}")
    print(f"{'to sort, s':14}{statistics.median(ordered):10.3f}")
    print(f"fastest: {min(seconds):.2f} s to write, {min(opened):.2f} s to open")


if __name__ == "__main__":
    main()
