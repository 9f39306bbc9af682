"""Speed of the measures: against ranx (warm), and with a bootstrap.

Two claims, on 10,000 queries with two relevant documents each:
1. all default measures from ranks take at most 1/25 of what ranx (warm) takes for MRR, NDCG@10 and Recall@10 on the
   equivalent run of depth 1,000; its best case, a run that lies in numba's own lists already, stands beside it;
2. all default measures with intervals from 1,000 bootstrap samples take less than a second.

Run: python benchmarks/speed/measures.py   (needs the dependency group ``bench``)
"""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from ranx import Qrels, Run, evaluate
from rich.console import Console
from rich.table import Table

from haystack_crossalign.measures import MRR, NDCG, Recall, aggregate, default_measures
from haystack_crossalign.ranks.table import RankTable

QUERIES, RELEVANT, DEPTH, SAMPLES = 10_000, 2, 1_000, 1_000
LANGUAGES = ("en", "zh")
REPETITIONS = 5
PEER_METRICS = ["mrr", "ndcg@10", "recall@10"]
SHARED_MEASURES = (MRR(), NDCG(10), Recall(10))


def rank_table(ranks: NDArray[np.int32], generator: np.random.Generator) -> RankTable:
    """A table with the English version at the first rank of each query and the Chinese one at the second."""
    english_above = generator.binomial(ranks - 1, 0.5).astype(np.int32)
    # The relevant version that stands above the other one is above it in its own language.
    above = np.stack((english_above, ranks - 1 - english_above), axis=2)
    return RankTable(
        languages=LANGUAGES,
        query_languages=generator.integers(0, 2, QUERIES).astype(np.int32),
        relevant_languages=np.tile(np.array([0, 1], dtype=np.int32), (QUERIES, 1)),
        ranks=ranks,
        optimistic=ranks,
        pessimistic=ranks,
        above=above,
        pool_languages=(0, 1),
        pool_size=100_000,
        top_language=generator.integers(0, 2, QUERIES).astype(np.int32),
    )


def peer_input(ranks: NDArray[np.int32]) -> tuple[Qrels, Run]:
    """The same ranks as a run: document n of a query stands at rank n."""
    names = [f"d{rank}" for rank in range(1, DEPTH + 1)]
    scores = [float(DEPTH - position) for position in range(DEPTH)]
    ids = [f"q{query}" for query in range(QUERIES)]
    qrels = Qrels({q: {names[rank - 1]: 1 for rank in row} for q, row in zip(ids, ranks.tolist(), strict=True)})
    run = Run.from_dict({q: dict(zip(names, scores, strict=True)) for q in ids})
    return qrels, run


def alternate(tasks: dict[str, Callable[[], object]]) -> dict[str, list[float]]:
    """Seconds of several tasks, run in turn so that a busy machine hits all of them alike; the first turn warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for turn in range(REPETITIONS + 1):
        for name, task in tasks.items():
            start = time.perf_counter()
            task()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def main() -> None:
    generator = np.random.default_rng(0)
    ranks = np.argsort(generator.random((QUERIES, DEPTH)), axis=1)[:, :RELEVANT].astype(np.int32) + 1
    table = rank_table(ranks, generator)
    qrels, run = peer_input(ranks)
    measures = default_measures(LANGUAGES)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = evaluate(qrels, run, PEER_METRICS)
    ours = aggregate(table, SHARED_MEASURES, samples=0, seed=0)["measures"]
    for theirs, mine in zip(peer.values(), ours.values(), strict=True):
        if mine is None or not abs(theirs - mine) < 1e-9:
            raise SystemExit(f"the two sides do not compute the same thing: {theirs}, {mine}")

    lists = qrels.to_typed_list(), run.to_typed_list()
    seconds = alternate(
        {
            "peer": lambda: evaluate(qrels, run, PEER_METRICS, save_results_in_run=False),
            "best": lambda: evaluate(*lists, PEER_METRICS),
            "same": lambda: aggregate(table, SHARED_MEASURES, samples=0, seed=0),
            "all": lambda: aggregate(table, measures, samples=0, seed=0),
            "bootstrap": lambda: aggregate(table, measures, samples=SAMPLES, seed=0),
        }
    )
    report = Table(
        title=f"{QUERIES:,} x {RELEVANT} ranks against ranx (warm) on a run of depth {DEPTH:,}: MRR, NDCG@10, Recall@10"
    )
    report.add_column("what")
    report.add_column("x ranx", justify="right")
    report.add_column("target", justify="right")
    report.add_column("x its best case", justify="right")
    rows = {
        "same": ("MRR, NDCG@10, Recall@10", ""),
        "all": (f"all {len(measures)} default measures, medians, percentiles, ties", ">= 25"),
        "bootstrap": (f"the same with {SAMPLES:,} bootstrap samples", ""),
    }
    for name, (what, target) in rows.items():
        ratio, best = (
            statistics.median(theirs / own for theirs, own in zip(seconds[peer], seconds[name], strict=True))
            for peer in ("peer", "best")
        )
        report.add_row(what, f"{ratio:.1f}", target, f"{best:.1f}")
    console = Console()
    console.print(report)
    share = statistics.median(seconds["bootstrap"])
    console.print(f"With bootstrap: {share:.2f} of the second it may take (target < 1).")


if __name__ == "__main__":
    main()
