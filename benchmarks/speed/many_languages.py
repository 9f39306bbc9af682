"""CPU time of an audit of 20,000 documents in 12 languages, `multi` and `mono-same`, as a whole process.

With --against FOLDER, the root of another checkout, both are run in turn, the ratio is printed, and their JSON must be
the same to the byte.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
from file_audit import DIMENSION, HERE, cpu_seconds

LANGUAGES = ("ar", "de", "el", "en", "es", "hi", "ro", "ru", "th", "tr", "vi", "zh")
GROUPS, ASKED = 20_000 // len(LANGUAGES), 100
TARGET = 0.4


def write_files(folder: Path) -> list[str]:
    """Parallel documents, and queries for some of them; the options that name both."""
    rng = np.random.default_rng(0)
    push = {language: 0.8 * rng.standard_normal(DIMENSION) for language in LANGUAGES}
    with (folder / "documents.jsonl").open("w") as documents, (folder / "queries.jsonl").open("w") as queries:
        for group in range(GROUPS):
            content = rng.standard_normal(DIMENSION)
            for language in LANGUAGES:
                for file, kind in ((documents, "d"), (queries, "q"))[: 2 if group < ASKED else 1]:
                    vector = content + rng.standard_normal(DIMENSION) + push[language]
                    row = {"id": f"{kind}{group}{language}", "text": "a", "language": language}
                    vector = (vector / np.linalg.norm(vector)).astype(np.float32)
                    file.write(json.dumps({**row, "parallel_id": str(group), "embedding": vector.tolist()}) + "\n")
    return [f"--{name}={folder / name}.jsonl" for name in ("documents", "queries")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, help="root of another checkout")
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    own = [HERE] if options.against is None else [HERE, options.against.resolve()]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        arguments = [*write_files(folder), "--scenario=multi,mono-same"]
        results = [folder / f"{number}.json" for number in range(len(own))]
        times = [
            [
                cpu_seconds(checkout, [*arguments, f"--json={result}"])
                for checkout, result in zip(own, results, strict=True)
            ]
            for _ in range(options.turns)
        ]
        if len({result.read_bytes() for result in results}) > 1:
            sys.exit("the results differ")
    medians = [statistics.median(turn[place] for turn in times) for place in range(len(own))]
    print(f"{GROUPS * len(LANGUAGES):,} documents in {len(LANGUAGES)} languages: {medians[0]:.2f} s of CPU time")
    if options.against is not None:
        print(
            f"{medians[0] / medians[1]:.3f} times that of {options.against}, same JSON "
            f"(median of {options.turns} turns; target: {TARGET})"
        )


if __name__ == "__main__":
    main()
