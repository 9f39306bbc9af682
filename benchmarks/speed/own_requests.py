"""What `--request` costs the client, against the same bodies sent by a plain multi-search of opensearch-py.

    python benchmarks/speed/own_requests.py --output benchmarks/results/own_requests.md

Both send the same searches, in multi-searches of the same number, in a point in time, to a server of their own. The
plain way has its bodies ready as Python dictionaries, their vectors as numpy's `tolist` writes them, and takes id,
score, language and group from the hits; it uses opensearch-py as it comes. `--request` fills the bodies from the file's
placeholders, compresses long ones, checks that every answer is whole, and reads the same from the hits. The bare way
sends the plain way's bodies through the same client, as text that was written before, and only parses the answers:
what no client can save.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from opensearchpy import OpenSearch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "tools"))
from measured import replace_measured
from opensearch_server import OpenSearchServer

from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.connection.point_in_time import PointInTime
from haystack_crossalign.opensearch.index.fields import read_fields
from haystack_crossalign.opensearch.index.pool import IndexView
from haystack_crossalign.opensearch.requests.file import read_request
from haystack_crossalign.opensearch.requests.retrieval import RequestRetrieval

DIMENSION = 384
INDEX = "bench-requests"
LANGUAGES = ["ar", "de", "el", "en", "es", "hi", "ru", "zh"]
BATCH = 16
WAYS = ("by_request", "by_plain", "by_bare")
WORDS = [f"word{number}" for number in range(400)]
FUSED = {"phase_results_processors": [{"score-ranker-processor": {"combination": {"technique": "rrf"}}}]}


def words(text: Any) -> dict[str, Any]:
    return {"multi_match": {"query": text, "fields": ["title^2", "body"]}}


def nearest(vector: Any, k: Any) -> dict[str, Any]:
    return {"knn": {"embedding": {"vector": vector, "k": k}}}


def bodies(text: Any, vector: Any, size: int) -> dict[str, dict[str, Any]]:
    """The searches, with values or with placeholders for them."""
    return {
        "words": {"query": words(text), "size": size},
        "neighbours": {"query": nearest(vector, size), "size": size},
        "hybrid": {
            "query": {"hybrid": {"queries": [words(text), nearest(vector, size)]}},
            "search_pipeline": FUSED,
            "size": size,
        },
    }


def load(server: OpenSearchServer, documents: int) -> None:
    rng = np.random.default_rng(0)
    method = {"name": "hnsw", "engine": "lucene", "space_type": "cosinesimil"}
    fields: dict[str, Any] = {name: {"type": "keyword"} for name in ("language", "parallel_id")}
    fields |= {name: {"type": "text"} for name in ("title", "body")}
    fields["embedding"] = {"type": "knn_vector", "dimension": DIMENSION, "method": method}
    settings = {"index.knn": True, "number_of_shards": 1, "number_of_replicas": 0}
    server.request("PUT", f"/{INDEX}", {"settings": settings, "mappings": {"properties": fields}})
    for start in range(0, documents, 500):
        lines: list[dict[str, Any]] = []
        for number in range(start, min(start + 500, documents)):
            document = {
                "title": " ".join(rng.choice(WORDS, size=5)),
                "body": " ".join(rng.choice(WORDS, size=60)),
                "language": LANGUAGES[number % len(LANGUAGES)],
                "parallel_id": f"g{number // len(LANGUAGES)}",
                "embedding": [float(str(x)) for x in rng.normal(size=DIMENSION).astype(np.float32)],
            }
            lines += [{"index": {"_id": f"d{number:05}"}}, document]
        answer: Any = server.request("POST", f"/{INDEX}/_bulk", lines)
        if answer["errors"]:
            raise SystemExit(f"the server refused a document: {answer['items'][0]}")
    server.request("POST", f"/{INDEX}/_refresh")


def plain(
    client: OpenSearch, ready: list[dict[str, Any]], frozen: PointInTime
) -> list[list[tuple[str, float, str, str]]]:
    """The same searches as a script would send them."""
    found: list[list[tuple[str, float, str, str]]] = []
    for start in range(0, len(ready), BATCH):
        lines: list[dict[str, Any]] = []
        for body in ready[start : start + BATCH]:
            lines += [{}, {**body, "pit": {"id": frozen.identifier, "keep_alive": frozen.keep_alive}}]
        answer = client.msearch(body=lines)
        found += [
            [
                (hit["_id"], hit["_score"], hit["fields"]["language"][0], hit["fields"]["parallel_id"][0])
                for hit in one["hits"]["hits"]
            ]
            for one in answer["responses"]
        ]
    return found


def bare(client: ReadOnlyClient, ready: list[str]) -> None:
    """The same searches as text, their answers parsed and not read."""
    for start in range(0, len(ready), BATCH):
        lines = [line for body in ready[start : start + BATCH] for line in ("{}", body)]
        client.request("POST", "/_msearch", body="\n".join(lines) + "\n")


def spent(action: Callable[[], Any]) -> tuple[float, float, Any]:
    """Processor seconds and wall seconds of this process, and what the action gives."""
    cpu, wall = time.process_time(), time.perf_counter()
    result = action()
    return time.process_time() - cpu, time.perf_counter() - wall, result


def compare(server: OpenSearchServer, options: argparse.Namespace, size: int, folder: Path) -> list[tuple[str, ...]]:
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(options.queries, DIMENSION)).astype(np.float32)
    texts = [" ".join(rng.choice(WORDS, size=4)) for _ in range(options.queries)]
    own = ReadOnlyClient(server.url, request_cache=False, timeout=600)
    other = OpenSearch(hosts=[server.url], timeout=600)
    fields = read_fields(own, INDEX, vector="embedding", language="language", group="parallel_id")
    view = IndexView(own, INDEX, fields)
    rows = []
    with own.point_in_time(INDEX) as frozen:
        for name, content in bodies("{{query}}", "{{vector}}", size).items():
            path = folder / f"{name}.json"
            path.write_text(json.dumps(content), encoding="utf-8")
            retrieval = RequestRetrieval(view, read_request(path), batch=BATCH)
            ready = [
                {**bodies(text, vector.tolist(), size)[name], **view.hit_fields()}
                for text, vector in zip(texts, vectors, strict=True)
            ]
            pit = {"id": frozen.identifier, "keep_alive": frozen.keep_alive}
            written = [json.dumps({**body, "pit": pit}, separators=(",", ":")) for body in ready]
            ratios, costs = [], []
            part = options.queries // options.rounds
            for number in range(options.rounds + 1):
                first = max(number - 1, 0) * part
                some = slice(first, first + part)

                def by_request(some: slice = some, retrieval: RequestRetrieval = retrieval) -> Any:
                    return retrieval.retrieve(texts[some], vectors[some], size, frozen)

                def by_plain(some: slice = some, ready: list[dict[str, Any]] = ready) -> Any:
                    return plain(other, ready[some], frozen)

                def by_bare(some: slice = some, written: list[str] = written) -> None:
                    bare(own, written[some])

                order = [by_request, by_plain, by_bare] if number % 2 else [by_bare, by_plain, by_request]
                taken = {action.__name__: spent(action) for action in order}
                lists = [[[hit[0] for hit in hits] for hits in taken[way][2]] for way in WAYS[:2]]
                if lists[0] != lists[1]:
                    raise SystemExit(f"{name}: the lists differ")
                if number:  # the first round warms both and the server
                    seconds = [taken[way][0] for way in WAYS]
                    ratios.append([seconds[0] / seconds[1], seconds[2] / seconds[1]])
                    costs.append([*seconds, *(taken[way][1] for way in WAYS[:2])])
            middle = np.median(np.array(costs) / part * 1e3, axis=0)
            rows.append((name, str(size), *(f"{value:.2f}" for value in (*middle, *np.median(ratios, axis=0)))))
            print(rows[-1], flush=True)
    own.close()
    other.close()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--version", default="3.6.0")
    parser.add_argument("--documents", type=int, default=4000)
    parser.add_argument("--queries", type=int, default=640)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--output", type=Path, help="Markdown file whose measured part is replaced")
    options = parser.parse_args()
    with OpenSearchServer(options.version) as server, tempfile.TemporaryDirectory() as folder:
        load(server, options.documents)
        rows = [row for size in (10, 100) for row in compare(server, options, size, Path(folder))]
    head = ["search", "size", "`--request`: client processor ms", "plain", "bare", "`--request`: wall ms", "plain",
            "client processor, `--request` / plain", "bare / plain"]  # fmt: skip
    lines = [
        f"{options.documents:,} documents x {DIMENSION}, {options.queries} queries in {options.rounds} rounds, {BATCH} "
        f"in a request; {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, OpenSearch "
        f"{options.version}, opensearch-py {version('opensearch-py')}; load average at the end "
        f"{os.getloadavg()[0]:.1f}",
        "",
        "| " + " | ".join(head) + " |",
        "|---" + "|--:" * (len(head) - 1) + "|",
        *("| " + " | ".join(row) + " |" for row in rows),
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    if options.output is not None:
        replace_measured(options.output, text)


if __name__ == "__main__":
    main()
