"""Document embedding against the stock SentenceTransformersDocumentEmbedder: 256 passages of XQuAD in four languages.

    python benchmarks/speed/embedding.py

One process, all components in turn on the same model (the 4-bit copy of multilingual-e5-small) and device "cpu"; the
stock one with its defaults and the prefix the model needs. Ratios are medians of the pairs, by the wall clock and by
the processor time of the process (which other work on the machine disturbs less). Cosines are between the vectors of
the two, the smallest over all passages; ``fp32`` shows what the batches alone bring.

The roof is the bare matrix products of the network alone in the same precision, by torch on one thread: the same
shapes, batch by batch, without padding, activations, normalizations, softmax and tokenizer. Its column is their
processor time as a part of that of the whole embedding. ``OMP_NUM_THREADS=1`` measures with one thread.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from haystack import Document
from haystack.utils import ComponentDevice
from haystack_integrations.components.embedders.sentence_transformers import SentenceTransformersDocumentEmbedder
from rich.console import Console
from rich.table import Table
from sentence_transformers import SentenceTransformer

from haystack_crossalign.components import CrossAlignDocumentEmbedder
from haystack_crossalign.models.batches import length_batches
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


def token_counts(documents: list[Document]) -> np.ndarray:
    model = SentenceTransformer(str(resolve_offline_model()), device="cpu")
    return model.preprocess(["passage: " + document.content for document in documents])["attention_mask"].sum(1).numpy()


def bare_products(counts: np.ndarray, dtype: torch.dtype) -> float:
    """Processor seconds of the products of a BERT of 12 layers, 384 wide and 1,536 inside, with 12 heads."""
    layers, width, inner, heads = 12, 384, 1536, 12
    own, up, down = (torch.randn(shape).to(dtype) for shape in ((width, width), (width, inner), (inner, width)))
    total = 0.0
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for rows in length_batches(counts, 2048):
        tokens, wide = (torch.randn(int(counts[rows].sum()), size).to(dtype) for size in (width, inner))
        parts = [torch.randn(heads, int(count), width // heads).to(dtype) for count in counts[rows]]
        squares = [torch.randn(heads, int(count), int(count)).to(dtype) for count in counts[rows]]
        started = time.process_time()
        for _ in range(layers):
            for _ in range(4):
                tokens @ own
            tokens @ up
            wide @ down
            for part, square in zip(parts, squares, strict=True):
                part @ part.transpose(1, 2)
                square @ part
        total += time.process_time() - started
    torch.set_num_threads(threads)
    return total


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
    backends = ("torch", "openvino") if find_spec("openvino") else ("torch",)
    contestants = {
        (backend, precision): CrossAlignDocumentEmbedder(
            model=OFFLINE_MODELS[0], backend=backend, compute_precision=precision, progress_bar=False, device=CPU
        )
        for precision in precisions
        for backend in backends
    }
    counts = token_counts(documents)
    for embedder in (stock, *contestants.values()):
        embedder.run(documents[:: max(1, len(documents) // 8)])
    walls: dict[tuple[str, str], list[float]] = {name: [] for name in contestants}
    processors: dict[tuple[str, str], list[float]] = {name: [] for name in contestants}
    roofs: dict[tuple[str, str], list[float]] = {name: [] for name in contestants}
    cosines: dict[tuple[str, str], float] = {}
    for _ in range(options.rounds):
        wall, processor, expected = timed(stock, documents)
        products = {
            precision: bare_products(counts, torch.bfloat16 if precision == "bf16" else torch.float32)
            for precision in precisions
        }
        for name, embedder in contestants.items():
            own_wall, own_processor, vectors = timed(embedder, documents)
            walls[name].append(wall / own_wall)
            processors[name].append(processor / own_processor)
            roofs[name].append(products[name[1]] / own_processor)
            cosines[name] = cosine(vectors, expected)
    table = Table(
        title=f"{len(documents)} passages, times faster than the stock embedder, {torch.get_num_threads()} threads "
        "(target: 3.7)"
    )
    for column in ("backend", "precision", "wall clock", "processor time", "of the roof", "smallest cosine"):
        table.add_column(column, justify="right")
    for name in contestants:
        faster, cheaper, roof = (statistics.median(values[name]) for values in (walls, processors, roofs))
        table.add_row(*name, f"{faster:.2f}", f"{cheaper:.2f}", f"{roof:.0%}", f"{cosines[name]:.6f}")
    Console().print(table)
    Console().print(f"the stock embedder took {processor:.1f} s of processor time in the last round")


if __name__ == "__main__":
    main()
