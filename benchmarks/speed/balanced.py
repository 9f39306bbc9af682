"""What `LanguageBalancedRetriever` costs beside one plain nearest-neighbor search of the retriever inside it.

    python benchmarks/speed/balanced.py --output benchmarks/results/balanced_speed.md

The same queries go to an index in five languages, one after the other, the contestants in turn: the stock retriever,
the balanced one over five languages in one multi-search (with and without the list of other languages), and the stock
retriever asked once per language.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from haystack_integrations.components.retrievers.opensearch import OpenSearchEmbeddingRetriever
from haystack_integrations.document_stores.opensearch import OpenSearchDocumentStore

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "tools"))
from measured import replace_measured
from opensearch_server import OpenSearchServer

from haystack_crossalign.components import LanguageBalancedRetriever

DIMENSION, TOP = 384, 10
INDEX = "bench-balanced"
LANGUAGES = ["ar", "de", "en", "es", "zh"]


def load(server: OpenSearchServer, documents: int) -> None:
    rng = np.random.default_rng(0)
    method = {"name": "hnsw", "engine": "lucene", "space_type": "cosinesimil"}
    fields: dict[str, Any] = {"language": {"type": "keyword"}, "content": {"type": "text"}}
    fields["embedding"] = {"type": "knn_vector", "dimension": DIMENSION, "method": method}
    settings = {"index.knn": True, "number_of_shards": 1, "number_of_replicas": 0}
    server.request("PUT", f"/{INDEX}", {"settings": settings, "mappings": {"properties": fields}})
    for start in range(0, documents, 500):
        lines: list[dict[str, Any]] = []
        for number in range(start, min(start + 500, documents)):
            vector = rng.normal(size=DIMENSION).astype(np.float32)
            document = {
                "id": f"d{number:06}",
                "content": "a text of some length " * 10,
                "language": LANGUAGES[number % len(LANGUAGES)],
                "embedding": [float(str(x)) for x in vector],
            }
            lines += [{"index": {"_id": document["id"]}}, document]
        answer: Any = server.request("POST", f"/{INDEX}/_bulk", lines)
        if answer["errors"]:
            raise SystemExit(f"the server refused a document: {answer['items'][0]}")
    server.request("POST", f"/{INDEX}/_forcemerge?max_num_segments=1")
    server.request("POST", f"/{INDEX}/_refresh")


def contestants(url: str) -> dict[str, Callable[[list[float]], Any]]:
    """The searches by name; the first is what the others are compared with."""
    store = OpenSearchDocumentStore(hosts=url, index=INDEX, create_index=False, return_embedding=False)
    plain = OpenSearchEmbeddingRetriever(document_store=store, top_k=TOP, efficient_filtering=True)
    balanced = {
        others: LanguageBalancedRetriever(retriever=plain, languages=LANGUAGES, others=others, top_k=TOP)
        for others in (False, True)
    }
    filters = [{"field": "meta.language", "operator": "==", "value": tag} for tag in LANGUAGES]
    return {
        "plain search": lambda vector: plain.run(query_embedding=vector),
        "balanced, five languages": lambda vector: balanced[False].run(query_embedding=vector, language="de"),
        "balanced, five languages and others": lambda vector: balanced[True].run(query_embedding=vector, language="de"),
        "five plain searches with a filter": lambda vector: [
            plain.run(query_embedding=vector, filters=one) for one in filters
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--version", default="3.6.0")
    parser.add_argument("--documents", type=int, default=20_000)
    parser.add_argument("--queries", type=int, default=400)
    parser.add_argument("--output", type=Path, help="Markdown file whose measured part is replaced")
    options = parser.parse_args()
    rng = np.random.default_rng(1)
    queries = rng.normal(size=(options.queries, DIMENSION)).astype(np.float32).tolist()
    with OpenSearchServer(options.version) as server:
        load(server, options.documents)
        ways = contestants(server.url)
        walls = np.zeros((len(ways), len(queries)))
        for vector in queries[:50]:
            for way in ways.values():
                way(vector)
        for number, vector in enumerate(queries):
            for place, way in enumerate(ways.values()):
                began = time.perf_counter()
                way(vector)
                walls[place, number] = time.perf_counter() - began
    ratios = np.median(walls / walls[0], axis=1)
    lines = [
        f"{options.documents:,} documents x {DIMENSION} in {len(LANGUAGES)} languages, {options.queries} queries, top "
        f"{TOP}; {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, OpenSearch "
        f"{options.version}, opensearch-py {version('opensearch-py')}, haystack-ai {version('haystack-ai')}; load "
        f"average at the end {os.getloadavg()[0]:.1f}",
        "",
        "| search | wall ms (median) | ratio (median over queries) |",
        "|---|--:|--:|",
        *(
            f"| {name} | {1000 * np.median(walls[place]):.2f} | {ratios[place]:.2f} |"
            for place, name in enumerate(ways)
        ),
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    if options.output is not None:
        replace_measured(options.output, text)


if __name__ == "__main__":
    main()
