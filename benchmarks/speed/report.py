"""The HTML report of 10,000 queries in 12 languages: time to write it and its size.

Targets: under 5 s and under 5 MB. The queries are spread over the 12 languages, over one mixed pool; with --each every
language asks 10,000 queries of its own, with --mono the one-language pools are reported as well. Ranks and texts are
generated (tests/support/synthetic.py); generation is not timed.
"""

from __future__ import annotations

import argparse
import runpy
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from haystack_crossalign.report.html import render_html

LANGUAGES = ("en", "ar", "de", "el", "es", "hi", "ro", "ru", "th", "tr", "vi", "zh")
GENERATOR = Path(__file__).resolve().parents[2] / "tests" / "support" / "synthetic.py"
TARGET_SECONDS, TARGET_MEGABYTES = 5.0, 5.0


def generate(queries: int, mono: bool, xquad: Path | None) -> dict[str, Any]:
    synthetic_result = runpy.run_path(str(GENERATOR))["synthetic_result"]
    result: dict[str, Any] = synthetic_result(LANGUAGES, queries, mono=mono, xquad=xquad)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=10_000, help="queries in all, or of each language with --each")
    parser.add_argument("--each", action="store_true", help="as many queries in each language")
    parser.add_argument("--mono", action="store_true", help="with the one-language pools")
    parser.add_argument("--xquad", type=Path, help="folder of the XQuAD files, for texts of real length")
    parser.add_argument("--repeat", type=int, default=3)
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
    print(f"{len(result['queries']['row']):,} queries, {len(result['rows'])} rows, {len(LANGUAGES)} languages")
    print(f"{'':14}{'measured':>10}{'target':>10}{'ratio':>8}")
    for name, measured, target in (
        ("seconds", statistics.median(seconds), TARGET_SECONDS),
        ("megabytes", size / 1e6, TARGET_MEGABYTES),
    ):
        print(f"{name:14}{measured:10.2f}{target:10.2f}{measured / target:8.2f}")


if __name__ == "__main__":
    main()
