"""Exact ranks of two relevant documents a query against faiss' exact top 100: 100,000 x 384 documents, 1,000 queries.

    python benchmarks/speed/exact_ranks.py [--output benchmarks/results/exact_ranks.md]

One process, one thread for every contestant, all in turn. A ratio is the median, over the rounds, of the ratio of
processor times (not of wall-clock times) within one round; "first call" compares the first calls of both in the
process. The bare product multiplies the same numbers in the same format and does nothing else, so it is the floor of
every method that multiplies all queries by all documents; for int8 it includes writing the documents as digits.

The pools are made from a seed: one crowds around a mean as embeddings of e5 do (cosine of two documents about 0.8), one
spreads evenly. Relevant documents are blends of their query and noise, so that ranks go from 1 to thousands; in the
third pool, clustered like the first, nine of ten are among the first ten. faiss finds less (no ranks beyond 100, no
counts per language), which is the point: a rank is a count. Its index is built outside of the clock, and so are the
operands of the bare products; ours starts from the plain vectors each time.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import sys
import time
from pathlib import Path

# faiss' wheel chooses the kernels of its BLAS by a list of processor models; on newer ones it takes those of 2004, at a
# quarter of the speed. It gets the AVX512 ones wherever the processor has the instructions.
if "avx512f" in (Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""):
    os.environ.setdefault("OPENBLAS_CORETYPE", "SkylakeX")

import faiss
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
from measured import replace_measured

from haystack_crossalign.precision import supports_fast_bf16
from haystack_crossalign.ranks import RankTable, exact_ranks
from haystack_crossalign.ranks.int8 import KERNEL_VARIABLE, chosen_kernel, kernels

THREADS = 1
SAMPLE = 40  # queries whose ranks are checked against the definition


def make_pool(kind: str, documents: int, queries: int, dim: int = 384, seed: int = 0):
    """-> queries, documents, relevant [Q, 2]"""
    rng = np.random.default_rng(seed)
    pool = rng.standard_normal((documents, dim), dtype=np.float32) / np.float32(dim**0.5)
    asked = rng.standard_normal((queries, dim), dtype=np.float32) / np.float32(dim**0.5)
    relevant = rng.permutation(documents)[: 2 * queries].reshape(queries, 2)
    for column in range(2):
        cosine = rng.uniform(*((0.2, 0.5) if kind == "near" else (0.1, 0.35)), (queries, 1)).astype(np.float32)
        pool[relevant[:, column]] *= np.sqrt(1 - cosine**2)
        pool[relevant[:, column]] += cosine * asked
    if kind != "isotropic":
        mean = rng.standard_normal(dim, dtype=np.float32)
        mean *= np.float32((0.8 / 0.2) ** 0.5) / np.linalg.norm(mean)
        pool += mean
        asked += mean
    for vectors in (pool, asked):
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return asked, pool, relevant


def choose(product: str) -> str:
    """Choose the kernel of a product such as ``int8 amx`` -> its precision"""
    precision, _, kernel = product.partition(" ")
    os.environ[KERNEL_VARIABLE] = kernel
    return precision


def ranks(queries, documents, relevant, product: str) -> RankTable:
    precision = choose(product)
    return exact_ranks(
        queries,
        documents,
        document_languages=np.arange(len(documents), dtype=np.int32) * 2 // len(documents),
        languages=("en", "zh"),
        query_languages=np.zeros(len(queries), dtype=np.int32),
        relevant=relevant,
        tie_order=np.arange(len(documents)),
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


COLUMNS = (
    "pool",
    "product",
    "faiss / ours",
    "faiss / ours, first call",
    "ours / bare product",
    "faiss / bare product",
    "ranks 10/50/90 %",
    "exact",
)


def measure(kind: str, documents: int, queries: int, rounds: int, precisions: tuple[str, ...]) -> list[tuple[str, ...]]:
    """-> one row of COLUMNS for each precision"""
    asked, pool, relevant = make_pool(kind, documents, queries)
    index = faiss.IndexFlatIP(pool.shape[1])
    index.add(pool)
    contestants = {"faiss": lambda: index.search(asked, 100)}
    for precision in precisions:
        contestants[precision] = lambda p=precision: ranks(asked, pool, relevant, p)
        contestants[f"product {precision}"] = _bare_product(asked, pool, precision)
    times: dict[str, list[float]] = {name: [] for name in contestants}
    results = {}
    for _ in range(rounds + 1):
        for name, run in contestants.items():
            start = time.process_time()
            results[name] = run()
            times[name].append(time.process_time() - start)
    first = {name: values[0] for name, values in times.items()}
    warm = {name: np.array(values)[1:] for name, values in times.items()}
    rows = []
    for precision in precisions:
        found = results[precision]
        ratios = warm["faiss"] / warm[precision]
        rows.append(
            (
                kind,
                precision,
                f"{np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f})",
                f"{first['faiss'] / first[precision]:.2f}",
                f"{np.median(warm[precision] / warm[f'product {precision}']):.2f}",
                f"{np.median(warm['faiss'] / warm[f'product {precision}']):.2f}",
                " / ".join(f"{rank:.0f}" for rank in np.percentile(found.ranks, (10, 50, 90))),
                "yes" if agrees(found, asked, pool, relevant) else "NO",
            )
        )
    return rows


def machine() -> str:
    """Processor, cores and versions, without the name of the host."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    model = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "processor unknown"
    )
    cores = sum(line.startswith("processor") for line in lines)
    versions = f"torch {torch.__version__}, faiss {faiss.__version__}, numpy {np.__version__}"
    return f"{model}, {cores} cores, {THREADS} threads used, Python {platform.python_version()}, {versions}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="rounds after the first")
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--output", type=Path, help="Markdown file whose part below the marker is replaced")
    options = parser.parse_args()
    torch.set_num_threads(THREADS)
    faiss.omp_set_num_threads(THREADS)
    precisions = ("bf16", "fp32") if supports_fast_bf16() else ("fp32",)
    precisions = (*(f"int8 {name}" for name in kernels()), *precisions)

    rows = []
    for kind in ("clustered", "isotropic", "near"):
        rows += measure(kind, options.documents, options.queries, options.rounds, precisions)
    notes = [machine()]
    if "bf16" not in precisions:
        notes.append("This processor has no bf16 product that is faster than the float32 one: bf16 was not measured.")
    if not kernels():
        notes.append("haystack-crossalign-native is not installed, or this processor has neither AVX512-VNNI nor AMX.")
    if Path("/proc/self/clear_refs").exists():
        for precision in precisions:
            held = extra_memory(precision, options.documents, options.queries)
            notes.append(f"Peak memory beyond the vectors, {precision}: {held} MB (asked for: under 300).")
    title = f"{options.documents} x 384 documents, {options.queries} queries x 2"
    table = Table(*COLUMNS, title=title)
    for row in rows:
        table.add_row(*row)
    console = Console()
    console.print(table)
    for note in notes:
        console.print(note)
    if options.output:
        _write(options.output, title, rows, notes)


def _write(path: Path, title: str, rows: list[tuple[str, ...]], notes: list[str]) -> None:
    lines = [title, "", *(f"- {note}" for note in notes), "", "| " + " | ".join(COLUMNS) + " |"]
    lines += ["|---|---|--:|--:|--:|--:|---|---|", *("| " + " | ".join(row) + " |" for row in rows)]
    replace_measured(path, "\n".join(lines))


def _bare_product(queries, documents, precision: str):
    """The same multiplications and nothing else, in blocks."""
    if choose(precision) == "int8":
        return _bare_digits(queries, documents)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    left, right = torch.from_numpy(documents).to(dtype), torch.from_numpy(queries).to(dtype).T
    out = torch.empty(2000, len(queries), dtype=dtype)

    def run() -> None:
        for block in left.split(2000):
            torch.mm(block, right, out=out[: len(block)])

    return run


def _bare_digits(queries, documents):
    """The 8-bit products without a threshold that any of them reaches."""
    kernel, dim = chosen_kernel(), queries.shape[1]
    library, width = kernel.library, -(-len(queries) // kernel.panel) * kernel.panel
    center, rounding = np.zeros(dim, dtype=np.float32), np.zeros(width, dtype=np.float32)
    limits, greater = np.full((2, width), np.inf, dtype=np.float32), np.zeros((2, len(queries)), dtype=np.int64)
    room = np.zeros(16, dtype=np.int64)
    kept = library.crossalign_queries(kernel.number, queries.ctypes.data, center.ctypes.data, *queries.shape)

    def run() -> None:
        library.crossalign_count(
            kept, documents.ctypes.data, dim, len(documents), center.ctypes.data, limits.ctypes.data,
            limits.ctypes.data, rounding.ctypes.data, 2, greater.ctypes.data, len(queries),
            room.ctypes.data, room.ctypes.data, room.ctypes.data, 8, None, None,
        )  # fmt: skip

    return run


if __name__ == "__main__":
    main()
