"""Document embedding against the stock SentenceTransformersDocumentEmbedder: 256 passages of XQuAD in four languages.

    python benchmarks/speed/embedding.py

One process, both components in turn on the same model (the 4-bit copy of multilingual-e5-small) and device "cpu"; the
stock one with its defaults and the prefix the model needs. Ratios are medians of the pairs, by the wall clock and by
the processor time of the process (which other work on the machine disturbs less). Cosines are between the vectors of
the two, the smallest over all passages; ``fp32`` shows what the batches alone bring.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
from haystack import Document
from haystack.utils import ComponentDevice
from haystack_integrations.components.embedders.sentence_transformers import SentenceTransformersDocumentEmbedder
from rich.console import Console
from rich.table import Table

from haystack_crossalign.components import CrossAlignDocumentEmbedder
from haystack_crossalign.models.names import OFFLINE_MODELS
from haystack_crossalign.models.offline import resolve_offline_model
from haystack_crossalign.precision import supports_fast_bf16

LANGUAGES = ("en", "zh", "ar", "es")
DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "xquad"
CPU = ComponentDevice.from_str("cpu")


def read_passages(folder: Path, count: int) -> list[Document]:
    each = count // len(LANGUAGES)
    texts: list[str] = []
    for language in LANGUAGES:
        data = json.loads((folder / f"xquad.{language}.json").read_text(encoding="utf-8"))["data"]
        found = dict.fromkeys(paragraph["context"] for article in data for paragraph in article["paragraphs"])
        texts += list(found)[:each]
    return [Document(content=text) for text in texts]


def timed(embedder: Any, documents: list[Document]) -> tuple[float, float, np.ndarray]:
    wall, processor = time.perf_counter(), time.process_time()
    embedded = embedder.run(documents)["documents"]
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    return wall, processor, np.array([document.embedding for document in embedded])


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(((a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)).min())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder of xquad.<language>.json")
    parser.add_argument("--passages", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    documents = read_passages(options.data, options.passages)
    stock = SentenceTransformersDocumentEmbedder(
        model=str(resolve_offline_model()), prefix="passage: ", progress_bar=False, device=CPU
    )
    precisions = ("bf16", "fp32") if supports_fast_bf16() else ("fp32",)
    contestants = {
        precision: CrossAlignDocumentEmbedder(
            model=OFFLINE_MODELS[0], compute_precision=precision, progress_bar=False, device=CPU
        )
        for precision in precisions
    }
    for embedder in (stock, *contestants.values()):
        embedder.run(documents[:: max(1, len(documents) // 8)])
    walls: dict[str, list[float]] = {name: [] for name in contestants}
    processors: dict[str, list[float]] = {name: [] for name in contestants}
    cosines: dict[str, float] = {}
    for _ in range(options.rounds):
        wall, processor, expected = timed(stock, documents)
        for name, embedder in contestants.items():
            own_wall, own_processor, vectors = timed(embedder, documents)
            walls[name].append(wall / own_wall)
            processors[name].append(processor / own_processor)
            cosines[name] = cosine(vectors, expected)
    table = Table(title=f"{len(documents)} passages, times faster than the stock embedder (target in bf16: 2.5)")
    for column in ("precision", "wall clock", "processor time", "smallest cosine"):
        table.add_column(column, justify="right")
    for name in contestants:
        wall, processor = statistics.median(walls[name]), statistics.median(processors[name])
        table.add_row(name, f"{wall:.2f}", f"{processor:.2f}", f"{cosines[name]:.6f}")
    Console().print(table)


if __name__ == "__main__":
    main()
