"""CPU seconds of `crossalign repair` on 2 x 1,000 documents, by two or more trees of this repository, in turns.

    git worktree add /tmp/old 08e9782
    CROSSALIGN_DATA=DIR python benchmarks/studies/repair_speed.py old=/tmp/old new=.

The documents are the first 1,000 passages of SQuAD in English and Chinese (squad.jsonl). One thread. A tree can be
followed by further options of `repair` (`"closed=.: --closed --keep-own-first off"`). The choice of each run stands
beside its time.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from machine import machine_line  # beside this file

from haystack_crossalign.data.corpora.registry import corpus_folder
from haystack_crossalign.models.names import OFFLINE_MODELS

DOCUMENTS = 1000
CHOICE = ("strength", "common_share", "whitening", "own_share", "own_margins")


def write_documents(path: Path, data: Path | None) -> None:
    """Passages that exist in both languages, each once."""
    texts: dict[str, str] = {}
    folder = corpus_folder("squad", data)
    file = folder if folder.is_file() else folder / "squad.jsonl"
    for line in file.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        if record.get("p_zh"):
            texts.setdefault(record["p_en"], record["p_zh"])
    with path.open("w", encoding="utf-8") as out:
        for number, versions in enumerate(list(texts.items())[:DOCUMENTS]):
            for tag, text in zip(("en", "zh"), versions, strict=True):
                record = {"id": f"{number}-{tag}", "text": text, "language": tag, "parallel_id": str(number)}
                out.write(json.dumps(record, ensure_ascii=False) + "\n")


def run(tree: Path, options: list[str], documents: Path, output: Path) -> float:
    """CPU seconds of a repair."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    environment = os.environ | threads | {"PYTHONPATH": str(tree), "TOKENIZERS_PARALLELISM": "false"}
    command = [sys.executable, "-m", "haystack_crossalign", "repair", "--model", OFFLINE_MODELS[0]]
    command += ["--parallel", str(documents), "--output", str(output), "--quiet", *options]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, env=environment, cwd=tree, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trees", nargs="+", metavar="NAME=FOLDER[: OPTIONS]")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder of the corpora; default: CROSSALIGN_DATA")
    arguments = parser.parse_args()
    seconds: dict[str, list[float]] = {}
    chosen: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as work:
        documents = Path(work) / "documents.jsonl"
        write_documents(documents, arguments.data)
        for number in range(arguments.rounds):
            for tree in arguments.trees:
                name, _, rest = tree.partition("=")
                folder, _, options = rest.partition(": ")
                output = Path(work) / f"{name}-{number}"
                taken = run(Path(folder).resolve(), shlex.split(options), documents, output)
                seconds.setdefault(name, []).append(taken)
                found = json.loads((output / "repair.json").read_text(encoding="utf-8"))["chosen"]
                chosen[name] = ", ".join(f"{key} {found.get(key)}" for key in CHOICE)
                print(f"{name}, round {number + 1}: {taken:.1f} CPU seconds", flush=True)
    print(f"\n{machine_line()}\n\n| tree | CPU seconds | ratio | chosen |\n|---|--:|--:|---|")
    first = median(next(iter(seconds.values())))
    for name, values in seconds.items():
        print(f"| {name} | {median(values):.1f} | {first / median(values):.2f} | {chosen[name]} |")


if __name__ == "__main__":
    main()
