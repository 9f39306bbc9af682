"""What the parts of the exact audit cost the server, each against one bare counting request.

    python benchmarks/speed/live_audit_parts.py --output benchmarks/results/live_audit_parts.md

Documents are vectors around 200 centers with so much noise that the lowest relevant document of a query stands deep in
the pool, so that the counting has much to count. The parts take turns in rounds over the same queries, with the request
cache off; costs are processor times of the server, and a ratio is the median over the rounds.
"""

from __future__ import annotations

import argparse
import copy
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
from measured import replace_measured
from opensearch_server import OpenSearchServer

from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.exact.counting import CountingBatch, relevant_documents
from haystack_crossalign.opensearch.index.fields import read_fields
from haystack_crossalign.opensearch.index.pool import IndexView
from haystack_crossalign.opensearch.index.scoring import checked_queries

DIMENSION, QUERIES, REPEATS = 384, 16, 4
INDEX = "bench-parts"
LANGUAGES = ("ar", "de", "en", "es", "ru", "th", "vi", "zh")
Body = dict[str, Any]


def near(centers: np.ndarray, rng: np.random.Generator, number: int) -> np.ndarray:
    vector = centers[number % len(centers)] + rng.normal(size=DIMENSION) * 3.0
    return np.asarray(vector / np.linalg.norm(vector))


def load(server: OpenSearchServer, centers: np.ndarray, rng: np.random.Generator, documents: int) -> None:
    method = {"name": "hnsw", "engine": "lucene", "space_type": "cosinesimil"}
    properties: Body = {name: {"type": "keyword"} for name in ("language", "parallel_id")}
    properties["embedding"] = {"type": "knn_vector", "dimension": DIMENSION, "method": method}
    settings = {"index.knn": True, "number_of_shards": 1, "number_of_replicas": 0, "refresh_interval": "-1"}
    server.request("PUT", f"/{INDEX}", {"settings": settings, "mappings": {"properties": properties}})
    for start in range(0, documents, 1000):
        lines: list[Body] = []
        for number in range(start, min(start + 1000, documents)):
            group, code = divmod(number, len(LANGUAGES))
            vector = [round(value, 5) for value in near(centers, rng, group).tolist()]
            document = {"embedding": vector, "language": LANGUAGES[code], "parallel_id": f"g{group}"}
            lines += [{"index": {"_id": f"d{number}"}}, document]
        answer: Any = server.request("POST", f"/{INDEX}/_bulk", lines)
        if answer["errors"]:
            raise SystemExit(f"the server refused a document: {answer['items'][0]}")
    server.request("POST", f"/{INDEX}/_refresh")
    while server.request("GET", f"/{INDEX}/_stats/merge")["_all"]["total"]["merges"]["current"]:  # type: ignore[index]
        time.sleep(1)


def changed(bodies: list[Body], change: Callable[[Body], object]) -> list[Body]:
    """Copies of the bodies with a change, which may return another body."""
    made = []
    for body in copy.deepcopy(bodies):
        other = change(body)
        made.append(other if isinstance(other, dict) and "query" in other else body)
    return made


def parts_of(bodies: list[Body]) -> dict[str, list[Body]]:
    """The counting requests as they are and with one part changed."""

    def by_language(body: Body) -> Any:
        return body["aggs"]["counts"]["aggs"]["languages"]["terms"]

    return {
        "bare": changed(bodies, lambda body: {"size": 0, "track_total_hits": True, "query": body["query"]}),
        "counting": bodies,
        "counting, ranges by an expression": changed(
            bodies,
            lambda body: body["aggs"]["counts"]["range"].update(script={"lang": "expression", "source": "_score"}),
        ),
        "counting, no tag for a missing language": changed(bodies, lambda body: by_language(body).pop("missing")),
        "counting, not by language": changed(bodies, lambda body: body["aggs"]["counts"].pop("aggs")),
        "counting, without ranges": changed(bodies, lambda body: body.pop("aggs")),
        "counting, without the first two hits": changed(bodies, lambda body: body.update(size=0)),
    }


def processor_seconds(server: OpenSearchServer) -> float:
    if server.process is None:
        raise SystemExit("the server is not a process of ours: its time cannot be read")
    fields = Path(f"/proc/{server.process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(server: OpenSearchServer, options: argparse.Namespace) -> tuple[list[str], dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(200, DIMENSION))
    load(server, centers, rng, options.documents)
    client = ReadOnlyClient(server.url, request_cache=False, timeout=600)
    fields = read_fields(client, INDEX, vector="embedding", language="language", group="parallel_id")
    view = IndexView(client, INDEX, fields)
    groups = rng.integers(options.documents // len(LANGUAGES), size=QUERIES).tolist()
    vectors = checked_queries(np.array([near(centers, rng, group) for group in groups]), fields.vector)
    relevant = [[f"d{group * len(LANGUAGES) + code}" for code in range(len(LANGUAGES))] for group in groups]
    batch = CountingBatch(view, vectors, relevant, 2)
    batch.count(True)
    deepest = [max(version.rank for version in row if version is not None) for row in batch.ranked]
    bodies = [batch._counting_body(query, True) for query in range(QUERIES)]
    actions: dict[str, Callable[[], object]] = {
        name: lambda part=part: client.search_all(part, INDEX, concurrent=2)  # type: ignore[misc]
        for name, part in parts_of(bodies).items()
    }
    actions["scores of the relevant documents"] = lambda: relevant_documents(view, vectors, relevant, 2)
    taken: dict[str, list[float]] = {name: [] for name in actions}
    for number in range(options.rounds + 2):
        for name, action in actions.items():
            before = processor_seconds(server)
            for _ in range(REPEATS):
                action()
            if number >= 2:  # the first rounds warm the server
                taken[name].append((processor_seconds(server) - before) / QUERIES / REPEATS * 1e3)
    client.close()
    low, middle, high = np.percentile(deepest, [10, 50, 90])
    return [
        f"{options.documents:,} documents x {DIMENSION} in {len(LANGUAGES)} languages, {QUERIES} queries {REPEATS} "
        f"times in {options.rounds} rounds, OpenSearch {options.version}",
        f"lowest relevant rank of a query: 10 / 50 / 90 % of queries at {low:,.0f} / {middle:,.0f} / {high:,.0f}",
        f"{platform.machine()}, {os.cpu_count()} cores; load average at the end {os.getloadavg()[0]:.1f}",
    ], {name: np.array(values) for name, values in taken.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--version", default="3.6.0")
    parser.add_argument("--documents", type=int, default=12_000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--output", type=Path, help="Markdown file whose measured part is replaced")
    options = parser.parse_args()
    with OpenSearchServer(options.version) as server:
        facts, taken = measure(server, options)
    lines = [f"- {fact}" for fact in facts]
    lines += ["", "| request | server processor ms per query | of a bare one | quartiles |", "|---|--:|--:|--:|"]
    for name, values in taken.items():
        ratios = values / taken["bare"]
        low, high = np.percentile(ratios, [25, 75])
        lines.append(f"| {name} | {np.median(values):.2f} | {np.median(ratios):.2f} | {low:.2f} to {high:.2f} |")
    text = "\n".join(lines) + "\n"
    print(text)
    if options.output is not None:
        replace_measured(options.output, text)


if __name__ == "__main__":
    main()
