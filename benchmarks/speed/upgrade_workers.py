"""Two workers of `crossalign upgrade` against one, by slices and by Ray; and the way that embeds against its embedder.

    PYTHONPATH=.:tools:tests/support python benchmarks/speed/upgrade_workers.py [--documents 10000] [--embedded 1500]

Every worker is a process of its own. All figures are of one run on one machine, which also runs the server: read their
ratios. ``embedding_share`` is the part of the time of copying in which the embedder computed.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from opensearch_server import OpenSearchServer
from upgrade import BASE, DIMENSION, fill

MODEL = "offline:multilingual-e5-small"
ALIAS = "workers"


class Timed:
    """An embedder that adds up the seconds in which it computes."""

    def __init__(self, embedder: Any) -> None:
        self.embedder, self.seconds = embedder, 0.0

    def encode_documents(self, texts: Any, **more: Any) -> Any:
        began = time.perf_counter()
        made = self.embedder.encode_documents(texts, **more)
        self.seconds += time.perf_counter() - began
        return made

    def provenance(self) -> Any:
        return self.embedder.provenance()


def begin_again(server: Any, index: str) -> None:
    """The alias on the old index, and no trace of an upgrade."""
    for name in server.request("GET", f"/{ALIAS}-*,crossalign-*/_settings?expand_wildcards=all"):
        server.request("DELETE", f"/{name}")
    server.request("PUT", f"/{index}/_settings", {"index.blocks.write": None})
    server.request("POST", "/_aliases", {"actions": [{"add": {"index": index, "alias": ALIAS}}]})


def work(url: str, matrix: str | None, part: tuple[int, int] | None, told: Any) -> None:
    """One worker: seconds of copying, and of the embedder in them."""
    from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
    from haystack_crossalign.upgrade.front import open_way, run_upgrade
    from haystack_crossalign.upgrade.options import UpgradeOptions
    from haystack_crossalign.upgrade.plan import make_plan

    embedder = None
    if matrix is None:
        from haystack_crossalign.models.encoder import Encoder

        embedder = Timed(Encoder(MODEL))
    options = UpgradeOptions(part=part, unit=500)
    reader, new = ReadOnlyClient(url), open_way(matrix, embedder, options)
    plan = make_plan(reader, ALIAS, new, options)
    copied: list[float] = []
    before = 0.0 if embedder is None else embedder.seconds

    def tell(step: str, *_: int) -> None:
        if step == "Copying" and embedder is not None:
            copied.append(embedder.seconds - before)

    outcome = run_upgrade(reader, ALIAS, new, options, plan=plan, progress=tell)
    seconds = outcome.seconds["copying"]
    told.put({"seconds": seconds, "embedding_share": round(copied[-1] / seconds, 3) if copied else None})


def by_slices(url: str, matrix: str | None, workers: int) -> dict[str, Any]:
    """Copying by so many processes."""
    context = multiprocessing.get_context("spawn")
    told = context.Queue()
    parts = [None] if workers == 1 else [(number + 1, workers) for number in range(workers)]
    processes = [context.Process(target=work, args=(url, matrix, part, told)) for part in parts]
    for process in processes:
        process.start()
    found = [told.get() for _ in processes]
    for process in processes:
        process.join()
    shares = [one["embedding_share"] for one in found if one["embedding_share"] is not None]
    return {"seconds": max(one["seconds"] for one in found), "embedding_share": shares}


def by_ray(url: str, matrix: str, workers: int) -> dict[str, Any]:
    """Copying by so many workers of a local Ray; they begin as soon as Ray has started them."""
    from haystack_crossalign.api.ray_upgrade import SharedUpgrade, Workers, upgrade_on_ray
    from haystack_crossalign.opensearch.connection.settings import LiveSettings
    from haystack_crossalign.upgrade.front import open_way
    from haystack_crossalign.upgrade.options import UpgradeOptions

    options = UpgradeOptions(unit=500)
    settings = LiveSettings(hosts=(url,), index=ALIAS)
    shared = SharedUpgrade(settings, open_way(matrix, None, options), options)
    return {"seconds": upgrade_on_ray(shared, Workers(workers)).outcome.seconds["copying"]}


def embed(texts: list[str], told: Any) -> None:
    """Documents per second of the embedder alone."""
    from haystack_crossalign.models.encoder import Encoder

    encoder = Encoder(MODEL)
    encoder.encode_documents(texts[:64])
    began = time.perf_counter()
    encoder.encode_documents(texts)
    told.put(len(texts) / (time.perf_counter() - began))


def embedder_alone(texts: list[str]) -> float:
    """`embed` in a process of its own."""
    context = multiprocessing.get_context("spawn")
    told = context.Queue()
    process = context.Process(target=embed, args=(texts, told))
    process.start()
    rate = float(told.get())
    process.join()
    return rate


def main() -> None:
    """Measure, and print one JSON object."""
    from haystack_crossalign.repair.affine import AffineMap
    from haystack_crossalign.repair.matrix_file import write_matrix_file

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=10_000)
    parser.add_argument("--embedded", type=int, default=1500)
    options = parser.parse_args()
    told: dict[str, Any] = {"python": platform.python_version(), "cores": os.cpu_count()}
    with tempfile.TemporaryDirectory() as folder, OpenSearchServer("3.6.0", heap="1g") as server:
        path = str(Path(folder) / "matrix.safetensors")
        weights = np.random.default_rng(1).normal(size=(DIMENSION, DIMENSION)).astype(np.float32)
        write_matrix_file(AffineMap(weights, np.zeros(DIMENSION, np.float32)), Path(path), base=BASE)
        fill(server, "many", options.documents)
        for name, measure in (
            ("matrix, one", lambda: by_slices(server.url, path, 1)),
            ("matrix, two slices", lambda: by_slices(server.url, path, 2)),
            ("matrix, two of Ray", lambda: by_ray(server.url, path, 2)),
        ):
            begin_again(server, "many")
            found = measure()
            told[name] = found | {"per_second": round(options.documents / found["seconds"])}
        fill(server, "few", options.embedded)
        body = {"size": options.embedded, "_source": ["content"]}
        hits = server.request("POST", "/few/_search", body)["hits"]["hits"]
        rate = embedder_alone([hit["_source"]["content"] for hit in hits])
        told["embedder alone"] = {"per_second": round(rate, 1)}
        server.request("DELETE", "/many")
        for name, workers in (("model, one", 1), ("model, two slices", 2)):
            begin_again(server, "few")
            found = by_slices(server.url, None, workers)
            per_second = options.embedded / found["seconds"]
            told[name] = found | {"per_second": round(per_second, 1), "of_the_embedder": round(per_second / rate, 3)}
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
