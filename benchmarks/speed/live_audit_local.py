"""Two ways of an audit to the exact ranks and the first ten documents of a query: by the server, and here.

    python benchmarks/speed/live_audit_local.py

The server scores the pool twice for each query; here the vectors are read once (`--exact local`). Both count the same
queries in turns, every number is compared, and the table says from how many queries on the second costs less. The index
is that of live_audit.py.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

import numpy as np
from live_audit import CONCURRENT, Arena, Base, Cost, add_options, embed, load, machine, median, queries_of
from opensearch_server import OpenSearchServer  # live_audit.py makes it known

from haystack_crossalign.opensearch.exact.counting import count_ranks
from haystack_crossalign.opensearch.index.pool import IndexView
from haystack_crossalign.opensearch.live.exact_top import exact_top
from haystack_crossalign.opensearch.local.counting import LocalCounter
from haystack_crossalign.opensearch.local.pool import LocalPool, read_pool
from haystack_crossalign.opensearch.local.table import counted_locally

TOP = 10


@dataclass
class Local:
    """What counting here took: reading the pool once, then per query; and what the server's way took per query."""

    documents: int
    read: Cost
    here: Cost
    server: Cost


def run_local(arena: Arena, base: Base, options: argparse.Namespace) -> Local:
    """Count the same queries in both ways, in turns of 100, and compare every number."""
    vectors, relevant, languages = queries_of(base, options.documents, options.queries)
    view = arena.view
    with arena.client.point_in_time(view.fields.indices[0]) as target:
        frozen = IndexView(arena.client, target, view.fields)
        pools: list[LocalPool] = []
        read = arena.timed(1, lambda: pools.append(read_pool(frozen)))
        tags = tuple(frozen.pool().by_language)
        counter = LocalCounter(frozen, pools[0], tags, vectors, relevant, by_version=False, top=TOP, batch=16,
                               concurrent=CONCURRENT, spend=lambda _: None)  # fmt: skip
        here: list[Cost] = []
        server: list[Cost] = []
        size = min(100, options.queries)
        for start in range(0, options.queries, size):
            places = list(range(start, min(start + size, options.queries)))
            part = slice(places[0], places[-1] + 1)
            found: list[Any] = []

            def locally(places: list[int] = places, found: list[Any] = found) -> None:
                counter.expect(places)
                found.append(counter.measure(places))

            def by_server(part: slice = part, found: list[Any] = found) -> None:
                counted = count_ranks(frozen, vectors[part], relevant[part], query_languages=languages[part],
                                      top_language=True, concurrent=CONCURRENT)  # fmt: skip
                lists = exact_top(frozen, vectors[part], TOP, target, concurrent=CONCURRENT)
                found.append((counted.table, lists))

            here.append(arena.timed(len(places), locally))
            server.append(arena.timed(len(places), by_server))
            ranks, (table, lists) = found
            table_here = counted_locally(frozen, ranks, relevant[part], query_languages=languages[part],
                                         by_language=frozen.pool().by_language).table  # fmt: skip
            same = all(np.array_equal(getattr(table_here, name), value) for name, value in vars(table).items())
            if not same or ranks.lists != lists:
                raise SystemExit(f"queries {part}: counts here and on the server differ")
    return Local(len(pools[0].names), read, median(here), median(server))


def report_local(local: Local, options: argparse.Namespace) -> str:
    """The table of both ways, and the numbers of queries from which reading the vectors costs less."""
    read, here, server = local.read, local.here, local.server
    lines = [
        f"Exact ranks and the first {TOP} documents in a pool of {local.documents:,} x 384, {options.queries} queries, "
        f"counted in both ways in turns of 100; every rank, bound, count and list was the same. {machine(options)}.",
        "",
        "| | wall ms | server processor ms | client processor ms | kB received |",
        "|---|--:|--:|--:|--:|",
    ]
    for label, cost in (("server, per query", server), ("here, per query", here), ("reading the pool, once", read)):
        cells = [cost.wall * 1e3, cost.server_cpu * 1e3, cost.client_cpu * 1e3, cost.bytes_in / 1e3]
        lines.append(f"| {label} | " + " | ".join(f"{cell:,.1f}" for cell in cells) + " |")
    wall = read.wall / (server.wall - here.wall)
    load = read.server_cpu / (server.server_cpu - here.server_cpu)
    per_document = read.wall / (server.wall / 2)
    lines += [
        "",
        f"Counting here takes less time from {wall:.0f} queries on, and less of the server's processor from {load:.0f} "
        f"on. A query then takes {here.wall / server.wall:.2f} of the time and "
        f"{here.server_cpu / server.server_cpu:.2f} of the server's processor. "
        f"Reading a document takes as long as scoring {per_document:.0f} of them.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_options(parser)
    parser.add_argument("--queries", type=int, default=600)
    options = parser.parse_args()
    base = embed(options.data, options.cache)
    with OpenSearchServer(options.version) as server:
        load(server, "bench", base, options.documents)
        print(report_local(run_local(Arena(server, "bench"), base, options), options))


if __name__ == "__main__":
    main()
