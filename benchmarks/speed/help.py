"""Cost of `crossalign --help` against `python -c "import typer, rich"`: whole processes, in turn."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

TURNS = 20
OURS = [sys.executable, "-c", "from haystack_crossalign.cli.main import main; main(['--help'])"]
THEIRS = [sys.executable, "-c", "import typer, rich"]


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    for command in (OURS, THEIRS):
        seconds(command)
    pairs = [(seconds(OURS), seconds(THEIRS)) for _ in range(TURNS)]
    ratio = statistics.median(ours / theirs for ours, theirs in pairs)
    print(f"crossalign --help / import typer, rich: {ratio:.2f} x (median of {TURNS} pairs; target: at most 2 x)")


if __name__ == "__main__":
    main()
