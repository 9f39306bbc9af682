"""`crossalign history` of 1,000 results: time and memory of the whole program, with page and CSV file.

Targets: under 3 s and under 300 MB. Each result has three query languages with 40 queries each in one mixed pool, as an
audit of a small help center writes it every night, with the texts of its worst queries. In every tenth result many
queries change, in the others a few. The results are generated (tests/support/synthetic.py); generation is not timed.
"""

from __future__ import annotations

import argparse
import json
import resource
import runpy
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from haystack_crossalign.audit.result import AuditResult

LANGUAGES = ("en", "zh", "ar")
GENERATOR = Path(__file__).resolve().parents[2] / "tests" / "support" / "synthetic.py"
TARGET_SECONDS, TARGET_MEGABYTES = 3.0, 300.0
FOLLOWED = ("Max@R_norm", "NDCG@10")


def write_results(folder: Path, count: int, queries: int) -> int:
    """Results of consecutive nights; returns their bytes."""
    result: dict[str, Any] = runpy.run_path(str(GENERATOR))["synthetic_result"](
        LANGUAGES, queries, mono=False, examples=10
    )
    rng, first, size = np.random.default_rng(0), datetime(2024, 1, 1, 4, tzinfo=UTC), 0
    owners = np.array(result["queries"]["row"])
    for number in range(count):
        for name in FOLLOWED:
            column = np.array(result["queries"]["measures"][name], dtype=np.float64)
            chosen = rng.integers(0, len(column), 6 if number % 10 else len(column) // 2)
            column[chosen] = np.clip(column[chosen] + rng.normal(0, 0.1, len(chosen)), 0, 1)
            result["queries"]["measures"][name] = column.tolist()
            for place, row in enumerate(result["rows"]):
                row["measures"][name] = float(column[owners == place].mean())
        stamp = (first + timedelta(days=number)).strftime("%Y-%m-%dT%H:%M:%SZ")
        provenance = {**result["provenance"], "stamp": stamp}
        text = AuditResult(**{k: v for k, v in result.items() if k not in ("schema", "provenance")},
                           provenance=provenance).to_json()  # fmt: skip
        (folder / f"{number:04d}.json").write_text(text, encoding="utf-8")
        size += len(text)
    return size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=int, default=1000)
    parser.add_argument("--queries", type=int, default=40, help="of each of the three languages")
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, page, table, data = (Path(name) / part for part in ("runs", "trend.html", "trend.csv", "trend.json"))
        folder.mkdir()
        size = write_results(folder, options.results, options.queries)
        outputs = ["--report", str(page), "--csv", str(table), "--json", str(data), "--quiet"]
        command = [sys.executable, "-m", "haystack_crossalign", "history", str(folder), *outputs]
        seconds = []
        for _ in range(options.repeat):
            start = time.perf_counter()
            subprocess.run(command, check=True)
            seconds.append(time.perf_counter() - start)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000
        changes = sum(
            point["change"] is not None and point["change"].get("p_holm", 1) < 0.05
            for series in json.loads(data.read_text(encoding="utf-8"))["series"]
            for point in series["points"]
        )
        print(f"{options.results:,} results of {size / options.results / 1000:.0f} kB, {changes} significant changes; "
              f"page {page.stat().st_size / 1e6:.1f} MB")  # fmt: skip
    print(f"{'':14}{'measured':>10}{'target':>10}{'ratio':>8}")
    for what, measured, target in (
        ("seconds", min(seconds), TARGET_SECONDS),
        ("megabytes", peak, TARGET_MEGABYTES),
    ):
        print(f"{what:14}{measured:10.2f}{target:10.2f}{measured / target:8.2f}")


if __name__ == "__main__":
    main()
