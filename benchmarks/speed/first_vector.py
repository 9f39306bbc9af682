"""Processor time until the first vector: CrossAlignTextEmbedder against the stock SentenceTransformersTextEmbedder.

    OMP_NUM_THREADS=1 python benchmarks/speed/first_vector.py

Each measurement is a new process that imports one component, loads the 4-bit copy of multilingual-e5-small on the CPU
and embeds one query; the contestants take turns, after one round that is not counted. "Until the vector" is the time of
the process when it has the vector; "whole process" includes its end, in which Python frees what was loaded. The other
rows show what neither can avoid: a component imports Haystack, which imports torch, and the tokenizer has 250,002
pieces. The smallest time of the rounds counts, since other work on the machine only adds to it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys

import numpy as np
from rich.console import Console
from rich.table import Table

from haystack_crossalign.models.offline import resolve_offline_model

QUERY = "How much protein should a woman eat a day?"
_END = """
import json, time
print(json.dumps([time.process_time(), vector]))
"""
_COMPONENT = """
import sys
from {module} import {name}
from haystack.utils import ComponentDevice
component = {name}(model=sys.argv[1], progress_bar=False, device=ComponentDevice.from_str("cpu"), {further})
vector = component.run(sys.argv[2])["embedding"]
"""
_TOKENIZER = """
import sys
from tokenizers import Tokenizer
tokenizer = Tokenizer.from_file(sys.argv[1] + "/tokenizer.json")
vector = None
"""
CONTESTANTS = {
    "stock": _COMPONENT.format(
        module="haystack_integrations.components.embedders.sentence_transformers",
        name="SentenceTransformersTextEmbedder",
        further='prefix="query: "',
    ),
    "crossalign": _COMPONENT.format(
        module="haystack_crossalign.components", name="CrossAlignTextEmbedder", further='compute_precision="fp32"'
    ),
    "import haystack": "import haystack; vector = None",
    "import torch": "import torch; vector = None",
    "tokenizer.json": _TOKENIZER,
}


def measured(code: str, folder: str) -> tuple[float, float, list[float] | None]:
    """Processor seconds until the vector and of the whole process, and the vector."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "HAYSTACK_TELEMETRY_ENABLED": "False"}
    command = [sys.executable, "-c", code + _END, folder, QUERY]
    output = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    until, vector = json.loads(output.splitlines()[-1])
    return until, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, vector


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    folder = str(resolve_offline_model())
    until: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    whole: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    vectors: dict[str, np.ndarray] = {}
    for number in range(options.rounds + 1):
        for name, code in CONTESTANTS.items():
            seconds, total, vector = measured(code, folder)
            if number:
                until[name].append(seconds)
                whole[name].append(total)
            if vector is not None:
                vectors[name] = np.array(vector)
    table = Table(title="Processor seconds, one query (target: a third of the stock embedder)")
    for column in ("", "until the vector", "of stock", "whole process", "of stock"):
        table.add_column(column, justify="left" if not column else "right")
    for name in CONTESTANTS:
        row = [name]
        for times in (until, whole):
            row += [f"{min(times[name]):.2f}", f"{min(times[name]) / min(times['stock']):.2f}"]
        table.add_row(*row)
    console = Console()
    console.print(table)
    stock, own = vectors["stock"], vectors["crossalign"]
    cosine = float(stock @ own / np.linalg.norm(stock) / np.linalg.norm(own))
    console.print(f"Cosine of both vectors {cosine:.9f}, largest difference {np.abs(stock - own).max():.1e}")


if __name__ == "__main__":
    main()
