"""The exact audit of a live index: 50,000 documents x 384, 1,000 queries in 8 languages, request cache off.

    python benchmarks/speed/live_audit.py [--output benchmarks/results/live_audit.md]

Starts an OpenSearch of its own, two searches at a time. Texts are passages and questions of XQuAD, embedded once with
the 4-bit copy of multilingual-e5-small; the index holds copies of the passages' vectors with seeded noise, in groups of
eight language versions, of which a query has one group as relevant documents. Per query, all contestants take turns in
rounds over the same queries:

- exact: `count_ranks`, ranks and counts by language of all eight relevant documents, bounds, ties and rank 1;
- bare: one request of size 0 that counts what reaches the lowest relevant score, with nothing aggregated;
- top 10,000 exact: the same script, 10,000 hits with nothing but id and score; ranks below them stay unknown;
- top 10,000 k-NN: the same from the vector index.

A ratio is the median of the ratios of single rounds. Wall times and the server's own times suffer from whatever else
the machine does, processor times hardly: they are read from the server's and the client's own processes.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.exact.counting import count_ranks
from haystack_crossalign.opensearch.index.fields import read_fields
from haystack_crossalign.opensearch.index.pool import IndexView
from haystack_crossalign.opensearch.index.scoring import checked_queries, exact_double

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

from measured import replace_measured  # noqa: E402 - likewise
from opensearch_server import OpenSearchServer  # noqa: E402 - a tool of this repository, not a package

DATA = ROOT.parent / "shared" / "data" / "xquad"
LANGUAGES = ("ar", "de", "en", "es", "ru", "th", "vi", "zh")
PASSAGES, QUESTIONS = 100, 125
NOISE = 0.15
DEPTH = 10_000
CONCURRENT = 2


@dataclass
class Base:
    """Vectors of the texts: passages [PASSAGES, L, dim], questions [QUESTIONS, L, dim] and their passages."""

    passages: np.ndarray
    questions: np.ndarray
    asks: np.ndarray


def embed(folder: Path, cache: Path) -> Base:
    file = cache / "live_audit_base.npz"
    if not file.is_file():
        from haystack_crossalign.models.encoder import Encoder
        from haystack_crossalign.models.names import OFFLINE_MODELS

        contexts, questions, asks = {}, {}, []
        for language in LANGUAGES:
            data = json.loads((folder / f"xquad.{language}.json").read_text(encoding="utf-8"))["data"]
            paragraphs = [paragraph for article in data for paragraph in article["paragraphs"]][:PASSAGES]
            contexts[language] = [paragraph["context"] for paragraph in paragraphs]
            pairs = [(qa["question"], n) for n, one in enumerate(paragraphs) for qa in one["qas"][:2]][:QUESTIONS]
            questions[language] = [question for question, _ in pairs]
            asks = [number for _, number in pairs]
        encoder = Encoder(OFFLINE_MODELS[0])
        passages = np.stack([encoder.encode_documents(contexts[one]) for one in LANGUAGES], axis=1)
        asked = np.stack([encoder.encode_queries(questions[one]) for one in LANGUAGES], axis=1)
        np.savez(file, passages=passages, questions=asked, asks=np.array(asks))
    loaded = np.load(file)
    return Base(loaded["passages"], loaded["questions"], loaded["asks"])


def load(server: OpenSearchServer, name: str, base: Base, documents: int) -> None:
    """Write copies of the passages with noise; group ``p-c`` is copy c of passage p."""
    method = {"name": "hnsw", "engine": "lucene", "space_type": "cosinesimil"}
    properties = {
        "embedding": {"type": "knn_vector", "dimension": base.passages.shape[2], "method": method},
        "language": {"type": "keyword"},
        "parallel_id": {"type": "keyword"},
    }
    settings = {"index.knn": True, "number_of_shards": 1, "number_of_replicas": 0, "refresh_interval": "-1"}
    server.request("PUT", f"/{name}", {"settings": settings, "mappings": {"properties": properties}})
    rng = np.random.default_rng(7)
    written, copy = 0, 0
    while written < documents:
        lines: list[dict[str, Any]] = []
        noise = rng.normal(size=base.passages.shape) * NOISE / np.sqrt(base.passages.shape[2])
        for passage, code in np.ndindex(*base.passages.shape[:2]):
            if written == documents:
                break
            vector = base.passages[passage, code] + noise[passage, code]
            group = f"{passage}-{copy}"
            lines.append({"index": {"_id": f"{LANGUAGES[code]}:{group}"}})
            short = [round(value, 6) for value in (vector / np.linalg.norm(vector)).tolist()]
            lines.append({"embedding": short, "language": LANGUAGES[code], "parallel_id": group})
            written += 1
        answer: Any = server.request("POST", f"/{name}/_bulk", lines)
        if answer["errors"]:
            raise SystemExit(f"the server refused a document: {answer['items'][0]}")
        copy += 1
    server.request("POST", f"/{name}/_refresh")
    while _merging(server, name):
        time.sleep(1)


def _merging(server: OpenSearchServer, name: str) -> int:
    answer: Any = server.request("GET", f"/{name}/_stats/merge")
    return int(answer["_all"]["total"]["merges"]["current"])


def queries_of(base: Base, documents: int, count: int) -> tuple[np.ndarray, list[list[str]], list[str]]:
    """Vectors, relevant ids and languages of ``count`` queries; relevant is a whole copy drawn by a seed."""
    rng = np.random.default_rng(3)
    copies = documents // (PASSAGES * len(LANGUAGES))
    vectors, relevant, languages = [], [], []
    for number in rng.permutation(QUESTIONS * len(LANGUAGES))[:count].tolist():
        question, code = divmod(number, len(LANGUAGES))
        group = f"{int(base.asks[question])}-{int(rng.integers(copies))}"
        vectors.append(base.questions[question, code])
        relevant.append([f"{language}:{group}" for language in LANGUAGES])
        languages.append(LANGUAGES[code])
    return np.array(vectors, dtype=np.float32), relevant, languages


@dataclass
class Cost:
    """What one contestant took per query."""

    wall: float
    server_took: float
    server_cpu: float
    client_cpu: float
    bytes_in: float
    bytes_out: float


class Arena:
    """One index, one client without request cache, and the clocks around them."""

    def __init__(self, server: OpenSearchServer, name: str) -> None:
        self.server = server
        self.client = ReadOnlyClient(server.url, request_cache=False, timeout=600)
        fields = read_fields(self.client, name, vector="embedding", language="language", group="parallel_id")
        self.view = IndexView(self.client, name, fields)
        self.view.pool()

    def server_cpu(self) -> float:
        """Processor seconds of the server's process so far."""
        if self.server.process is None:
            raise SystemExit("the server is not a process of ours: its time cannot be read")
        fields = Path(f"/proc/{self.server.process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def timed(self, queries: int, action: Callable[[], object]) -> Cost:
        before, cpu = self._totals(), self.server_cpu()
        wall, own = time.perf_counter(), time.process_time()
        action()
        wall, own = time.perf_counter() - wall, time.process_time() - own
        after = self._totals()
        took, into, out = (b - a for a, b in zip(before, after, strict=True))
        spent = self.server_cpu() - cpu
        return Cost(*(one / queries for one in (wall, took / 1000, spent, own, into, out)))

    def _totals(self) -> tuple[int, int, int]:
        totals = self.client.traffic.totals.values()
        return tuple(sum(getattr(one, key) for one in totals) for key in ("server_ms", "bytes_in", "bytes_out"))  # type: ignore[return-value]

    def lowest(self, vectors: np.ndarray, relevant: list[list[str]]) -> list[float]:
        rows = checked_queries(vectors, self.view.fields.vector)
        bodies = [
            {"size": len(ids), "query": self.view.scoring.scored(row, {"ids": {"values": ids}}), "_source": False}
            for row, ids in zip(rows, relevant, strict=True)
        ]
        answers = self.client.search_all(bodies, self.view.target)
        return [min(exact_double(hit["_score"]) for hit in answer["hits"]["hits"]) for answer in answers]

    def exact(self, vectors: np.ndarray, relevant: list[list[str]], languages: list[str]) -> Any:
        return count_ranks(
            self.view, vectors, relevant, query_languages=languages, top_language=True, concurrent=CONCURRENT
        )

    def bare(self, vectors: np.ndarray, lowest: list[float]) -> None:
        rows = checked_queries(vectors, self.view.fields.vector)
        bodies = [
            {"size": 0, "track_total_hits": True, "query": self.view.scoring.scored(row, minimum=minimum)}
            for row, minimum in zip(rows, lowest, strict=True)
        ]
        # As anyone would send it, while the audit's own requests leave search pipelines out.
        self._in_batches(bodies, 16, as_served=True)

    def top(self, vectors: np.ndarray, *, knn: bool) -> None:
        rows = checked_queries(vectors, self.view.fields.vector)
        bodies = []
        for row in rows:
            query = {"knn": {"embedding": {"vector": list(row), "k": DEPTH}}} if knn else self.view.scoring.scored(row)
            bodies.append({"size": DEPTH, "track_total_hits": False, "_source": False, "query": query})
        self._in_batches(bodies, 4)

    def _in_batches(self, bodies: list[dict[str, Any]], batch: int, *, as_served: bool = False) -> None:
        for start in range(0, len(bodies), batch):
            self.client.search_all(
                bodies[start : start + batch], self.view.target, concurrent=CONCURRENT, as_served=as_served
            )


def run_rounds(arena: Arena, base: Base, options: argparse.Namespace) -> tuple[dict[str, list[Cost]], list[int]]:
    vectors, relevant, languages = queries_of(base, options.documents, options.queries)
    size = options.queries // options.rounds
    costs: dict[str, list[Cost]] = {"exact": [], "bare": [], "top exact": [], "top knn": []}
    depths: list[int] = []
    for number in range(options.rounds):
        part = slice(number * size, (number + 1) * size)
        few = slice(part.start, part.start + max(1, size // options.every))
        lowest = arena.lowest(vectors[part], relevant[part])
        if number == 0:
            arena.exact(vectors[part], relevant[part], languages[part])  # warms the server and is not counted
        ranks = []

        def exact(part: slice = part, ranks: list[Any] = ranks) -> None:
            ranks.append(arena.exact(vectors[part], relevant[part], languages[part]))

        contest: list[tuple[str, int, Callable[[], object]]] = [
            ("exact", size, exact),
            ("bare", size, lambda part=part, lowest=lowest: arena.bare(vectors[part], lowest)),
            ("top exact", few.stop - few.start, lambda few=few: arena.top(vectors[few], knn=False)),
            ("top knn", few.stop - few.start, lambda few=few: arena.top(vectors[few], knn=True)),
        ]
        for name, count, action in contest[number % 2 :: 1] + contest[: number % 2]:
            costs[name].append(arena.timed(count, action))
        if ranks[0].unranked:
            raise SystemExit(f"relevant documents without a rank: {ranks[0].unranked[:3]}")
        depths += ranks[0].table.ranks.max(axis=1).tolist()
        print(
            f"round {number + 1}: " + ", ".join(f"{k} {v[-1].wall * 1e3:.1f} ms" for k, v in costs.items()), flush=True
        )
    return costs, depths


def median(costs: list[Cost]) -> Cost:
    return Cost(*(statistics.median(getattr(one, key) for one in costs) for key in vars(costs[0])))


def machine(options: argparse.Namespace) -> str:
    return (
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"OpenSearch {options.version}, opensearch-py {version('opensearch-py')}; load average at the end "
        f"{os.getloadavg()[0]:.1f}"
    )


def memory(url: str, name: str, base: Base, documents: int, queries: int) -> float:
    """What a fresh process takes at most, in MiB, beyond what it held before it began to count."""
    context = multiprocessing.get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    vectors, relevant, languages = queries_of(base, documents, queries)
    child = context.Process(target=_child, args=(url, name, vectors, relevant, languages, send))
    child.start()
    value = receive.recv()
    child.join()
    return float(value)


def _child(url: str, name: str, vectors: Any, relevant: Any, languages: Any, pipe: Any) -> None:
    client = ReadOnlyClient(url, request_cache=False, timeout=600)
    fields = read_fields(client, name, vector="embedding", language="language", group="parallel_id")
    view = IndexView(client, name, fields)
    view.pool()
    before = _status("VmRSS")
    count_ranks(view, vectors, relevant, query_languages=languages, top_language=True, concurrent=CONCURRENT)
    pipe.send(_status("VmHWM") - before)


def _status(field: str) -> float:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))


def _ratio(above: list[Cost], below: list[Cost], key: str) -> float:
    return statistics.median(getattr(a, key) / getattr(b, key) for a, b in zip(above, below, strict=True))


def report(
    costs: dict[str, list[Cost]], depths: list[int], peaks: dict[str, float], options: argparse.Namespace
) -> str:
    exact, bare = costs["exact"], costs["bare"]
    lines = [
        f"{options.documents:,} documents x 384 in 8 languages, {options.queries} queries in {options.rounds} rounds "
        f"(top 10,000: every {options.every}th query), request cache off",
        "",
        f"- {machine(options)}",
        f"- lowest relevant rank of a query: 10 / 50 / 90 % of queries at "
        f"{' / '.join(f'{int(np.percentile(depths, q)):,}' for q in (10, 50, 90))}; beyond rank 10,000: "
        f"{np.mean(np.array(depths) > DEPTH):.1%}",
        "",
        "| per query | wall ms | server took ms | server processor ms | client processor ms | kB received | kB sent |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for name, label in (
        ("exact", "exact audit"),
        ("bare", "one bare counting request"),
        ("top exact", "top 10,000, exact scores"),
        ("top knn", "top 10,000, k-NN"),
    ):
        cells = [statistics.median(getattr(one, key) for one in costs[name]) * 1e3 for key in list(vars(exact[0]))[:4]]
        sizes = [statistics.median(getattr(one, key) for one in costs[name]) / 1e3 for key in ("bytes_in", "bytes_out")]
        lines.append(f"| {label} | " + " | ".join(f"{cell:.2f}" for cell in (*cells, *sizes)) + " |")
    total = {name: [one.bytes_in + one.bytes_out for one in rows] for name, rows in costs.items() if name != "bare"}
    moved = statistics.median(total["top exact"]) / statistics.median(total["exact"])
    share = statistics.median(one.client_cpu / one.wall for one in exact)
    alone = statistics.median(one.client_cpu / (one.client_cpu + one.server_cpu / CONCURRENT) for one in exact)
    rows = [
        ("time, top 10,000 with exact scores / exact audit", _ratio(costs["top exact"], exact, "wall"), "at least 3"),
        ("time, top 10,000 from k-NN / exact audit", _ratio(costs["top knn"], exact, "wall"), "at least 3"),
        ("bytes sent and received, top 10,000 / exact audit", moved, "at least 50"),
        ("bytes received, top 10,000 / exact audit", _ratio(costs["top exact"], exact, "bytes_in"), ""),
        ("server time, exact audit / bare request (took)", _ratio(exact, bare, "server_took"), "at most 1.3"),
        ("server time, exact audit / bare request (processor)", _ratio(exact, bare, "server_cpu"), "at most 1.3"),
        ("client processor / wall time", share, "under 0.15"),
        ("client processor / wall time of a quiet machine, from processor times", alone, "under 0.15"),
    ]
    lines += ["", "| ratio | measured | asked for |", "|---|--:|---|"]
    lines += [f"| {name} | {value:.2f} | {target} |" for name, value, target in rows]
    lines += [
        "",
        "Memory of the client beyond what it held before it counted, MiB: "
        + ", ".join(f"{name} {value:.1f}" for name, value in peaks.items()),
    ]
    return "\n".join(lines) + "\n"


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that say what is indexed."""
    parser.add_argument("--data", type=Path, default=DATA, help="folder of xquad.<language>.json")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()), help="where vectors are kept")
    parser.add_argument("--version", default="3.6.0")
    parser.add_argument("--documents", type=int, default=50_000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_options(parser)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument(
        "--every", type=int, default=5, help="share of the queries that fetch the top 10,000: 1 / every"
    )
    parser.add_argument("--output", type=Path, help="Markdown file whose measured part is replaced")
    options = parser.parse_args()
    least = 5 * PASSAGES * len(LANGUAGES)  # the small index, a fifth, needs a copy of every passage
    if options.documents < least:
        parser.error(f"--documents: {options.documents}; at least {least}")
    base = embed(options.data, options.cache)
    small = options.documents // 5
    with OpenSearchServer(options.version) as server:
        sizes = (("bench-small", small), ("bench", options.documents))
        for name, documents in sizes:
            start = time.perf_counter()
            load(server, name, base, documents)
            print(f"loaded {documents} documents in {time.perf_counter() - start:.0f} s", flush=True)
        arena = Arena(server, "bench")
        costs, depths = run_rounds(arena, base, options)
        few = options.queries // 5
        peaks = {
            f"{documents:,} documents and {queries} queries": memory(server.url, name, base, documents, queries)
            for name, documents, queries in (
                ("bench", options.documents, few),
                ("bench", options.documents, options.queries),
                ("bench-small", small, options.queries),
            )
        }
    text = report(costs, depths, peaks, options)
    print(text)
    if options.output is not None:
        replace_measured(options.output, text)


if __name__ == "__main__":
    main()
