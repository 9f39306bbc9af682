"""Memory and processor time of an audit of files whose vectors lie in a table of their own, by the size of the pool.

    python benchmarks/speed/large_pool.py --documents 250000 500000 1000000

Each audit is a process of its own: documents in two languages as JSON Lines, 384 float32 numbers for each in an .npy
file, 200 queries. Own memory is what the process has taken (RssAnon); the table is mapped, and the system keeps as many
of its pages in memory as there is room for (RssFile). Both at their peak, read twenty times a second. From the slope
between the smallest and the largest pool follows what five million documents take.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

DIMENSION, QUERIES, LANGUAGES = 384, 200, ("en", "zh")
_PART = 50_000


def write_files(folder: Path, documents: int) -> list[str]:
    """Pool and queries; the options that name them."""
    rng = np.random.default_rng(0)
    table = np.lib.format.open_memmap(folder / "documents.npy", "w+", np.float32, (documents, DIMENSION))
    with (folder / "documents.jsonl").open("w", encoding="utf-8") as file:
        for start in range(0, documents, _PART):
            rows = min(_PART, documents - start)
            table[start : start + rows] = rng.standard_normal((rows, DIMENSION), np.float32)
            for place in range(start, start + rows):
                group, code = divmod(place, 2)
                record = {"id": f"d{place}", "text": f"text {place}", "language": LANGUAGES[code]}
                file.write(json.dumps({**record, "parallel_id": str(group)}) + "\n")
    queries = table[:QUERIES] + rng.standard_normal((QUERIES, DIMENSION), np.float32)
    np.save(folder / "queries.npy", queries)
    with (folder / "queries.jsonl").open("w", encoding="utf-8") as file:
        for place in range(QUERIES):
            record = {"id": f"q{place}", "text": "a", "language": LANGUAGES[place % 2], "parallel_id": str(place // 2)}
            file.write(json.dumps(record) + "\n")
    del table
    return [
        *("--documents", str(folder / "documents.jsonl"), "--document-vectors", str(folder / "documents.npy")),
        *("--queries", str(folder / "queries.jsonl"), "--query-vectors", str(folder / "queries.npy")),
    ]


def measured(documents: int) -> dict[str, float]:
    """MiB and processor seconds of one audit."""
    with tempfile.TemporaryDirectory() as name:
        arguments = write_files(Path(name), documents)
        command = [sys.executable, "-m", "haystack_crossalign", "audit", *arguments, "--quiet", "--samples", "100"]
        peaks = {"RssAnon": 0, "RssFile": 0}
        before = os.times()
        process = subprocess.Popen([*command, "--json", f"{name}/result.json"])
        while process.poll() is None:
            status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
            for key, kilobytes in re.findall(r"^(RssAnon|RssFile):\s+(\d+) kB", status, flags=re.MULTILINE):
                peaks[key] = max(peaks[key], int(kilobytes))
            time.sleep(0.05)
        after = os.times()
        if process.returncode:
            sys.exit(f"the audit of {documents:,} documents ended with {process.returncode}")
    seconds = after.children_user + after.children_system - before.children_user - before.children_system
    return {"own": peaks["RssAnon"] / 1024, "mapped": peaks["RssFile"] / 1024, "seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, nargs="+", default=[250_000, 500_000, 1_000_000])
    options = parser.parse_args()
    sizes = sorted(options.documents)
    rows = {size: measured(size) for size in sizes}
    print("| documents | own memory, MiB | bytes a document | mapped at most, MiB | processor seconds |")
    print("|--:|--:|--:|--:|--:|")
    for size, row in rows.items():
        each = row["own"] * 2**20 / size
        print(f"| {size:,} | {row['own']:,.0f} | {each:,.0f} | {row['mapped']:,.0f} | {row['seconds']:.1f} |")
    if len(sizes) > 1:
        low, high = sizes[0], sizes[-1]
        slope = (rows[high]["own"] - rows[low]["own"]) / (high - low)
        own = rows[high]["own"] + slope * (5_000_000 - high)
        print(f"\nSlope: {slope * 2**20:,.0f} bytes a document; 5,000,000 documents: {own:,.0f} MiB of own memory.")


if __name__ == "__main__":
    main()
