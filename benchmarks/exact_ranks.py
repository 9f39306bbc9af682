"""Exact ranks of two relevant documents a query against faiss' exact top 100: 100,000 x 384 documents, 1,000 queries.

    python benchmarks/exact_ranks.py

One process, two threads, all contestants in turn; ratios are of the best and of the median round. The pools are made
from a seed: one crowds around a mean as embeddings of e5 do (cosine of two documents about 0.8), one spreads evenly.
Relevant documents are blends of their query and noise, so that ranks go from 1 to thousands. faiss finds less (no
ranks beyond 100, no counts per language), which is the point: a rank is a count. Its index is built outside of the
clock; ours starts from the plain vectors each time.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from pathlib import Path

import faiss
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from haystack_crossalign.precision import supports_fast_bf16
from haystack_crossalign.ranks import RankTable, exact_ranks

THREADS = 2
SAMPLE = 40  # queries whose ranks are checked against the definition


def make_pool(kind: str, documents: int, queries: int, dim: int = 384, seed: int = 0):
    """-> queries, documents, relevant [Q, 2]"""
    rng = np.random.default_rng(seed)
    pool = rng.standard_normal((documents, dim), dtype=np.float32) / np.float32(dim**0.5)
    asked = rng.standard_normal((queries, dim), dtype=np.float32) / np.float32(dim**0.5)
    relevant = rng.permutation(documents)[: 2 * queries].reshape(queries, 2)
    for column in range(2):
        cosine = rng.uniform(0.1, 0.35, (queries, 1)).astype(np.float32)
        pool[relevant[:, column]] *= np.sqrt(1 - cosine**2)
        pool[relevant[:, column]] += cosine * asked
    if kind == "clustered":
        mean = rng.standard_normal(dim, dtype=np.float32)
        mean *= np.float32((0.8 / 0.2) ** 0.5) / np.linalg.norm(mean)
        pool += mean
        asked += mean
    for vectors in (pool, asked):
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return asked, pool, relevant


def ranks(queries, documents, relevant, precision: str) -> RankTable:
    return exact_ranks(
        queries,
        documents,
        document_languages=np.arange(len(documents), dtype=np.int32) * 2 // len(documents),
        languages=("en", "zh"),
        query_languages=np.zeros(len(queries), dtype=np.int32),
        relevant=relevant,
        id_order=np.arange(len(documents)),
        precision=precision,
    )


def agrees(table: RankTable, queries, documents, relevant) -> bool:
    """Whether the first queries' ranks follow from all their scores, by the definition."""
    documents = documents.astype(np.float64)
    for row in range(SAMPLE):
        scores = (documents @ queries[row].astype(np.float64)).astype(np.float32)
        for column, target in enumerate(relevant[row]):
            ahead = (scores > scores[target]) | ((scores == scores[target]) & (np.arange(len(scores)) < target))
            if table.ranks[row, column] != 1 + ahead.sum():
                return False
    return True


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) // 1024


def _extra_memory(precision: str, documents: int, queries: int, pipe) -> None:
    """In a process of its own: MB by which the peak exceeds what was held with the vectors in memory."""
    torch.set_num_threads(THREADS)
    arguments = make_pool("clustered", documents, queries)
    small = make_pool("clustered", 2000, 100)
    ranks(*small, precision)  # libraries load and keep memory of their own on first use
    Path("/proc/self/clear_refs").write_text("5")  # sets the peak back to what is held now
    before = _status("VmRSS")
    ranks(*arguments, precision)
    pipe.send(_status("VmHWM") - before)


def extra_memory(precision: str, documents: int, queries: int) -> int:
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_extra_memory, args=(precision, documents, queries, sender))
    process.start()
    process.join()
    return receiver.recv()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=1000)
    options = parser.parse_args()
    torch.set_num_threads(THREADS)
    faiss.omp_set_num_threads(THREADS)
    fast = supports_fast_bf16()
    precisions = ("bf16", "fp32") if fast else ("fp32",)

    table = Table(title=f"exact ranks, {options.documents} x 384, {options.queries} queries x 2, {THREADS} threads")
    for name in (
        "pool",
        "pass",
        "x faiss (best)",
        "x faiss (median)",
        "x its bare product",
        "ranks 10/50/90 %",
        "exact",
    ):
        table.add_column(name)
    for kind in ("clustered", "isotropic"):
        queries, documents, relevant = make_pool(kind, options.documents, options.queries)
        index = faiss.IndexFlatIP(documents.shape[1])
        index.add(documents)
        contestants = {"faiss": lambda index=index, queries=queries: index.search(queries, 100)}
        for precision in precisions:
            contestants[precision] = lambda p=precision, a=(queries, documents, relevant): ranks(*a, p)
            contestants[f"product {precision}"] = _bare_product(queries, documents, precision)
        times: dict[str, list[float]] = {name: [] for name in contestants}
        results = {}
        for turn in range(options.rounds + 1):
            for name, run in contestants.items():
                start = time.perf_counter()
                results[name] = run()
                if turn:  # the first round warms up
                    times[name].append(time.perf_counter() - start)
        for precision in precisions:
            found = results[precision]
            table.add_row(
                kind,
                precision,
                f"{min(times['faiss']) / min(times[precision]):.1f}",
                f"{np.median(times['faiss']) / np.median(times[precision]):.1f}",
                f"{min(times[precision]) / min(times[f'product {precision}']):.2f}",
                " / ".join(f"{rank:.0f}" for rank in np.percentile(found.ranks, (10, 50, 90))),
                "yes" if agrees(found, queries, documents, relevant) else "NO",
            )
    console = Console()
    console.print(table)
    console.print("asked for: 6 x faiss with bf16, 2 x in float32. A bare product is what any method has to pay.")
    if not fast:
        console.print("This processor has no bf16 instructions: only float32 was measured.")
    if Path("/proc/self/clear_refs").exists():
        for precision in precisions:
            held = extra_memory(precision, options.documents, options.queries)
            console.print(f"peak memory beyond the vectors, {precision}: {held} MB (asked for: under 300)")


def _bare_product(queries, documents, precision: str):
    """The same multiplications and nothing else, in blocks."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    left, right = torch.from_numpy(documents).to(dtype), torch.from_numpy(queries).to(dtype).T
    out = torch.empty(2000, len(queries), dtype=dtype)

    def run() -> None:
        for block in left.split(2000):
            torch.mm(block, right, out=out[: len(block)])

    return run


if __name__ == "__main__":
    main()
