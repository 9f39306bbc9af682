"""Reading documents with vectors: processor time of a document, and memory beyond what the texts take.

    python benchmarks/speed/reading.py [--against CHECKOUT] [--output benchmarks/results/reading.md]

Contestants take turns, each in a process of its own with one thread: this tree, this tree without its compiled library
(everything is left to Python's json module), and with --against the package of another checkout.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
from measured import replace_measured

HERE = Path(__file__).resolve().parents[2]
DIMENSION = 384
TIME, MEMORY = 5.0, 1.3
WITHOUT = "without the library"
CHILD = """
import json, resource, sys, time
from haystack_crossalign.data.formats.jsonl import read_documents
if sys.argv[3] == "without":
    from haystack_crossalign.files import vectors
    vectors._numbers = lambda: None
read_documents(sys.argv[1])
before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
documents, _ = read_documents(sys.argv[2])
seconds = time.process_time() - start
peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
print(json.dumps({"seconds": seconds, "peak": peak, "documents": len(documents)}))
"""


def write_documents(path: Path, count: int, text: str, *, vectors: bool = True) -> None:
    rng = np.random.default_rng(0)
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            row = {"id": f"d{number}", "text": text, "language": "zh", "parallel_id": str(number // 2)}
            if vectors:
                vector = rng.standard_normal(DIMENSION)
                row["embedding"] = (vector / np.linalg.norm(vector)).astype(np.float32).tolist()
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def measure(checkout: Path, warm: Path, path: Path, kind: str) -> dict[str, float]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(checkout), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-c", CHILD, str(warm), str(path), kind]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment, cwd=checkout)
    return json.loads(done.stdout)


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def compare(folder: Path, text: str, options: argparse.Namespace) -> list[str]:
    """The rows of one kind of text: every contestant against this tree."""
    warm, path, bare = (folder / f"{name}.jsonl" for name in ("warm", "documents", "texts"))
    write_documents(warm, 20, text)
    write_documents(path, options.documents, text)
    write_documents(bare, options.documents, text, vectors=False)
    contestants = {"this tree": (HERE, "with"), WITHOUT: (HERE, "without")}
    if options.against is not None:
        contestants["the other tree"] = (options.against.resolve(), "with")
    turns = [
        {name: measure(checkout, warm, path, kind) for name, (checkout, kind) in contestants.items()}
        for _ in range(options.turns)
    ]
    size = options.documents * DIMENSION * 4
    rows = []
    for name, (checkout, kind) in contestants.items():
        texts = measure(checkout, warm, bare, kind)["peak"]
        memory = (statistics.median(turn[name]["peak"] for turn in turns) - texts) / size
        times = [turn[name]["seconds"] / options.documents * 1e6 for turn in turns]
        ratio = spread([turn[name]["seconds"] / turn["this tree"]["seconds"] for turn in turns])
        rows.append(f"| {len(text)} characters | {name} | {statistics.median(times):.1f} | {ratio} | {memory:.2f} |")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, help="root of another checkout")
    parser.add_argument("--documents", type=int, default=10_000)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--output", type=Path, help="Markdown file whose part below the marker is replaced")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = [row for text in ("中文", "中文的段落。" * 50) for row in compare(Path(folder), text, options)]
    lines = [
        f"{options.documents:,} documents x {DIMENSION} numbers, {options.turns} turns, one thread; "
        f"{os.cpu_count()} cores shared with other work; Python {platform.python_version()}, numpy {np.__version__}.",
        "",
        "| text | read by | µs a document | its time / this tree's | memory / vectors |",
        "|---|---|--:|--:|--:|",
        *rows,
        "",
        f"Asked for: {TIME:.0f} times as fast as the other tree; at most {MEMORY} times the vectors in memory.",
    ]
    report = "\n".join(lines) + "\n"
    print(report)
    if options.output:
        replace_measured(options.output, report)


if __name__ == "__main__":
    main()
