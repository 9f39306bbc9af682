"""Speed and memory of `crossalign upgrade --matrix`, against the server's own `_reindex` of the same index.

    PYTHONPATH=.:tools:tests/support python benchmarks/speed/upgrade.py [--documents 50000] [--url URL]

`_reindex` changes nothing and runs inside of the server: it is the limit of what a client can reach. Both fill an index
of the same mapping with refreshing off and no replica. Each client runs in a process of its own, whose peak memory is
read when it ends.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import platform
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from opensearch_server import OpenSearchServer
from opensearch_servers import Server

DIMENSION = 384
METHOD = {"name": "hnsw", "engine": "lucene", "space_type": "cosinesimil"}
BASE = {"name": "bench/model", "sha256": "a" * 64, "dimension": DIMENSION, "normalized": True}
MAPPING = {
    "_meta": {"crossalign": {"model": BASE}},
    "properties": {
        "embedding": {"type": "knn_vector", "dimension": DIMENSION, "method": METHOD},
        "language": {"type": "keyword"},
        "content": {"type": "text"},
    },
}
SETTINGS = {"index.knn": True, "number_of_shards": 2, "number_of_replicas": 0, "refresh_interval": "-1"}


def fill(server: Any, index: str, documents: int) -> None:
    """Unit vectors and texts of forty words."""
    server.request("PUT", f"/{index}", {"settings": SETTINGS, "mappings": MAPPING})
    rng = np.random.default_rng(0)
    for start in range(0, documents, 1000):
        count = min(1000, documents - start)
        vectors = rng.normal(size=(count, DIMENSION)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        lines: list[dict[str, Any]] = []
        for number, vector in enumerate(vectors, start):
            text = " ".join(f"word{word}" for word in rng.integers(5000, size=40))
            lines += [
                {"index": {"_id": f"d{number}"}},
                {"content": text, "language": "en", "embedding": [float(f"{value:.9g}") for value in vector]},
            ]
        if server.request("POST", f"/{index}/_bulk", lines)["errors"]:
            raise SystemExit("the server refused documents of the benchmark")
    server.request("POST", f"/{index}/_refresh")


def reindex(server: Any, source: str, target: str) -> float:
    """Seconds of the server's own copy."""
    server.request("PUT", f"/{target}", {"settings": SETTINGS, "mappings": MAPPING})
    began = time.perf_counter()
    task = server.request(
        "POST",
        "/_reindex?wait_for_completion=false&slices=2",
        {"source": {"index": source, "size": 500}, "dest": {"index": target}},
    )["task"]
    while not server.request("GET", f"/_tasks/{task}")["completed"]:
        time.sleep(0.2)
    seconds = time.perf_counter() - began
    server.request("DELETE", f"/{target}")
    return seconds


def upgrade(url: str, alias: str, folder: str, told: Any) -> None:
    """The upgrade alone, in a process of its own; tells times, counts and peak memory in MiB."""
    from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
    from haystack_crossalign.repair.affine import AffineMap
    from haystack_crossalign.repair.matrix_file import write_matrix_file
    from haystack_crossalign.upgrade.front import open_way, run_upgrade
    from haystack_crossalign.upgrade.options import UpgradeOptions
    from haystack_crossalign.upgrade.plan import make_plan

    path = Path(folder) / "matrix.safetensors"
    matrix = np.random.default_rng(1).normal(size=(DIMENSION, DIMENSION)).astype(np.float32)
    write_matrix_file(AffineMap(matrix, np.zeros(DIMENSION, np.float32)), path, base=BASE)
    reader, options = ReadOnlyClient(url), UpgradeOptions()
    new = open_way(path, None, options)
    plan = make_plan(reader, alias, new, options)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    outcome = run_upgrade(reader, alias, new, options, plan=plan)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    told.put({**vars(outcome), "planned_mib": before, "peak_mib": peak})


def measure(server: Any, documents: int, folder: str) -> dict[str, Any]:
    """Both copies of an index of so many documents."""
    for name in server.request("GET", "/bench-*,crossalign-*/_settings?expand_wildcards=all"):
        server.request("DELETE", f"/{name}")
    fill(server, "bench-1", documents)
    server.request("POST", "/_aliases", {"actions": [{"add": {"index": "bench-1", "alias": "bench"}}]})
    first = reindex(server, "bench-1", "bench-copy")
    context = multiprocessing.get_context("spawn")
    told = context.Queue()
    process = context.Process(target=upgrade, args=(server.url, "bench", folder, told))
    process.start()
    outcome = told.get()
    process.join()
    second = reindex(server, "bench-1", "bench-copy")
    copying = outcome["seconds"]["copying"]
    limit = documents / min(first, second)
    return {
        "documents": documents,
        "reindex_per_second": [round(documents / first), round(documents / second)],
        "copying_per_second": round(documents / copying),
        "ratio": round(documents / copying / limit, 3),
        "seconds": outcome["seconds"],
        "blocked_seconds": outcome["blocked_seconds"],
        "verified": outcome["verified"],
        "planned_mib": round(outcome["planned_mib"], 1),
        "peak_mib": round(outcome["peak_mib"], 1),
    }


@contextlib.contextmanager
def opened(url: str | None) -> Iterator[Any]:
    """A server of its own, or the one at an address."""
    if url is not None:
        yield Server(url)
        return
    with OpenSearchServer("3.6.0", heap="2g") as server:
        yield server


def main() -> None:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=50_000)
    parser.add_argument("--url")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, opened(options.url) as server:
        small = measure(server, max(1000, options.documents // 5), folder)
        large = measure(server, options.documents, folder)
    told = {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "small": small,
        "large": large,
        "more_memory_mib": round(large["peak_mib"] - small["peak_mib"], 1),
    }
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
