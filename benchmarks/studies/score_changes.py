"""How far the score of one query and one document moves while an OpenSearch server's code is compiled.

    python benchmarks/studies/score_changes.py

Each space of each version has a freshly started server with 500 documents x 384. One exact query is asked 300 times,
for the scores of all documents; the figures compare each answer with the first one.
"""

from __future__ import annotations

import argparse
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
from machine import machine_line  # beside this file

from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.index.fields import read_fields
from haystack_crossalign.opensearch.index.pool import IndexView
from haystack_crossalign.opensearch.index.scoring import checked_queries

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "tools"))

from opensearch_server import VERSIONS, OpenSearchServer  # noqa: E402 - a tool of this repository, not a package

DOCUMENTS, DIMENSION, REQUESTS = 500, 384, 300
SPACES = ("cosinesimil", "innerproduct", "l2")


def fill(server: OpenSearchServer, space: str) -> None:
    vector = {"type": "knn_vector", "dimension": DIMENSION, "space_type": space}
    mapping = {"properties": {"language": {"type": "keyword"}, "embedding": vector}}
    # Scored by the exact script alone: without a graph no plugin's search has run the code before.
    settings = {"index": {"knn": False, "number_of_replicas": 0}}
    server.request("PUT", "/prod", {"settings": settings, "mappings": mapping})
    lines: list[dict] = []
    for number, row in enumerate(np.random.default_rng(0).normal(size=(DOCUMENTS, DIMENSION)).round(5).tolist()):
        lines += [{"index": {"_index": "prod", "_id": f"d{number}"}}, {"embedding": row, "language": "en"}]
    server.request("POST", "/_bulk?refresh=true", lines)


def asked(server: OpenSearchServer) -> np.ndarray:
    """Float [requests, documents]: the scores of every answer."""
    client = ReadOnlyClient(server.url)
    try:
        fields = read_fields(client, "prod", vector="embedding", language="language")
        view = IndexView(client, "prod", fields)
        query = np.random.default_rng(1).normal(size=(1, DIMENSION)).astype(np.float32)
        body = {
            "size": DOCUMENTS,
            "_source": False,
            "query": view.scoring.scored(checked_queries(query, fields.vector)[0]),
        }
        answers = []
        for _ in range(REQUESTS):
            scores = {hit["_id"]: hit["_score"] for hit in client.search(body, "prod")["hits"]["hits"]}
            answers.append([scores[f"d{number}"] for number in range(DOCUMENTS)])
        return np.array(answers)
    finally:
        client.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=HERE.parent / "results" / "score_changes.md")
    arguments = parser.parse_args()
    lines = ["# Scores that change", "", "`python benchmarks/studies/score_changes.py`", "",
             *__doc__.splitlines()[4:], "",
             f"{machine_line()}, opensearch-py {version('opensearch-py')}", "",
             "| OpenSearch | space | first answer that differs | documents changed | largest relative change |",
             "|---|---|--:|--:|--:|"]  # fmt: skip
    for release in VERSIONS:
        for space in SPACES:
            with OpenSearchServer(release) as server:
                fill(server, space)
                scores = asked(server)
            change = np.abs(scores - scores[0]) / np.abs(scores[0])
            differing = np.flatnonzero(change.any(axis=1))
            first = f"{differing[0] + 1} of {REQUESTS}" if len(differing) else "none"
            changed = int(change.any(axis=0).sum())
            lines.append(f"| {release} | {space} | {first} | {changed} of {DOCUMENTS} | {change.max():.1e} |")
            print(lines[-1], flush=True)
    arguments.output.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{arguments.output} written")


if __name__ == "__main__":
    main()
