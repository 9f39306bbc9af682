"""CPU time of an audit of files: 10,000 documents and 500 queries that carry vectors, as a whole process.

With --against FOLDER, the root of another checkout, both are run in turn and the ratio is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parents[2]
DOCUMENTS, QUERIES, DIMENSION = 10_000, 500, 384
LANGUAGES = ("en", "zh")
TARGET = 1.03


def write_files(folder: Path, *, unit: bool) -> list[str]:
    """Parallel documents, and queries for the first of them; the options that name both."""
    rng = np.random.default_rng(0)
    content = rng.standard_normal((DOCUMENTS // 2, DIMENSION))
    lines: dict[str, list[str]] = {"documents": [], "queries": []}

    def add(name: str, key: str, group: int, language: str, vector: np.ndarray) -> None:
        vector = vector / np.linalg.norm(vector) if unit else vector
        entry = {"id": key, "text": key, "language": language, "parallel_id": str(group)}
        lines[name].append(json.dumps({**entry, "embedding": vector.astype(np.float32).tolist()}))

    for group, own in enumerate(content):
        for code, language in enumerate(LANGUAGES):
            noise = rng.standard_normal(DIMENSION) + 3 * np.eye(DIMENSION)[code]
            add("documents", f"{language}:{group}", group, language, own + noise)
        if group < QUERIES // 2:
            for code, language in enumerate(LANGUAGES):
                noise = rng.standard_normal(DIMENSION) + 3 * np.eye(DIMENSION)[code]
                add("queries", f"q{language}:{group}", group, language, own + noise)
    arguments = []
    for name, texts in lines.items():
        (folder / f"{name}.jsonl").write_text("\n".join(texts) + "\n", encoding="utf-8")
        arguments += [f"--{name}", str(folder / f"{name}.jsonl")]
    return arguments


def cpu_seconds(checkout: Path, arguments: list[str]) -> float:
    """User and system time of one audit with the package of a checkout, in one thread."""
    command = [sys.executable, "-c", "from haystack_crossalign.cli.main import main; main()", "audit", *arguments, "-q"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, env=environment, cwd=checkout)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, help="root of another checkout")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--target", type=float, default=TARGET, help="ratio asked for")
    parser.add_argument("--lengths", action="store_true", help="vectors of other lengths than one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        arguments = write_files(Path(folder), unit=not options.lengths)
        own = [HERE] if options.against is None else [HERE, options.against.resolve()]
        times = [[cpu_seconds(checkout, arguments) for checkout in own] for _ in range(options.turns)]
    print(f"audit of {DOCUMENTS:,} documents: {statistics.median(turn[0] for turn in times):.2f} s of CPU time")
    if options.against is not None:
        ratio = statistics.median(turn[0] for turn in times) / statistics.median(turn[1] for turn in times)
        turns = f"median of {options.turns} turns; target: {options.target:.2f}"
        print(f"{ratio:.3f} times that of {options.against} ({turns})")


if __name__ == "__main__":
    main()
