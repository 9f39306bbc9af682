"""Two indices of different models behind one alias that is switched, and what each must answer."""

from __future__ import annotations

import threading
import time
import urllib.error
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from haystack import Document
from haystack_integrations.components.retrievers.opensearch import OpenSearchEmbeddingRetriever
from haystack_integrations.document_stores.opensearch import OpenSearchDocumentStore
from opensearch_servers import create_index, vector_mapping
from tiny_models import WORDS, write_tiny_model

from haystack_crossalign.components import CrossAlignEmbeddingRetriever
from haystack_crossalign.models.encoder import Encoder
from haystack_crossalign.models.identity import describe_model

ALIAS, OLD, NEW = "switching", "switching-old", "switching-new"
TOP = 8
DIMENSION = 16
TEXTS = {f"d{n}": " ".join(WORDS[(n * k) % len(WORDS)] for k in (1, 3, 7, 11)) for n in range(1, 49)}
EXACT = {"k": len(TEXTS)}
"""As many candidates as documents: an approximate search may miss one, and differently in each version."""

QUERIES = [f"{WORDS[n]} {WORDS[2 * n + 5]} {WORDS[3 * n + 1]}" for n in range(12)]

Listed = tuple[tuple[str, float], ...]


@dataclass
class TwoModels:
    """Two folders with models of the same dimension, open."""

    old_folder: Path
    new_folder: Path
    old: Encoder = field(init=False)
    new: Encoder = field(init=False)

    def __post_init__(self) -> None:
        self.old = Encoder(str(self.old_folder), precision="fp32")
        self.new = Encoder(str(self.new_folder), precision="fp32")

    @property
    def places(self) -> dict[str, str]:
        """What the retriever is given to find them by."""
        return {
            str(encoder.provenance()["sha256"])[:12]: str(folder)
            for encoder, folder in ((self.old, self.old_folder), (self.new, self.new_folder))
        }


@pytest.fixture(scope="session")
def two_models(tmp_path_factory: pytest.TempPathFactory) -> TwoModels:
    """Tiny models with other random weights; their folders have the same name, as those of two trainings have."""
    return TwoModels(
        write_tiny_model(tmp_path_factory.mktemp("old")), write_tiny_model(tmp_path_factory.mktemp("new"), seed=1)
    )


def fill(server: Any, name: str, vectors: np.ndarray, model: Mapping[str, Any] | None) -> None:
    """Create an index again that holds `TEXTS` with these vectors and names this model."""
    documents = {
        key: {"id": key, "content": text, "language": "en" if n % 2 else "zh", "embedding": vectors[n].tolist()}
        for n, (key, text) in enumerate(TEXTS.items())
    }
    mapping = vector_mapping(vectors.shape[1])
    if model is not None:
        mapping["_meta"] = {"crossalign": {"model": dict(model)}}
    create_index(server, name, documents, mapping, shards=1)


def delete(server: Any, name: str) -> None:
    try:
        server.request("DELETE", f"/{name}")
    except urllib.error.HTTPError as error:
        if error.code != 404:
            raise


def point(server: Any, index: str, others: tuple[str, ...] = (), **options: Any) -> None:
    """Let the alias point to an index, in one call."""
    actions = [{"remove": {"index": name, "alias": ALIAS}} for name in others]
    server.request("POST", "/_aliases", {"actions": [*actions, {"add": {"index": index, "alias": ALIAS, **options}}]})


def open_store(server: Any, index: str = ALIAS) -> OpenSearchDocumentStore:
    return OpenSearchDocumentStore(
        hosts=server.url, index=index, embedding_dim=DIMENSION, create_index=False, timeout=60
    )


def listed(documents: list[Document]) -> Listed:
    return tuple((document.id, float(document.score or 0.0)) for document in documents)


@dataclass
class Pair:
    """The two indices, filled, and the four answers that each query can get; only two of them are right."""

    server: Any
    models: TwoModels

    def __post_init__(self) -> None:
        self._filled: dict[str, Any] = {}
        self.reset()
        self.right = {query: self._answers(query, mixed=False) for query in QUERIES}
        self.mixed = {query: self._answers(query, mixed=True) for query in QUERIES}

    def reset(self) -> None:
        """Fill what a test has changed, and let the alias point to the old index alone."""
        encoders = {OLD: self.models.old, NEW: self.models.new}
        for name, encoder in encoders.items():
            if self._filled.get(name) is None or self._state(name) != self._filled[name]:
                fill(self.server, name, encoder.encode_documents(list(TEXTS.values())), describe_model(encoder))
                self._filled[name] = self._state(name)
        removed = {"remove": {"index": f"{ALIAS}-*", "alias": ALIAS, "must_exist": False}}
        self.server.request("POST", "/_aliases", {"actions": [removed]})
        point(self.server, OLD)

    def _state(self, name: str) -> Any:
        """What tells that an index was made again, described or written to; None where it is gone."""
        try:
            described = self.server.request("GET", f"/{name}")[name]
        except urllib.error.HTTPError:
            return None
        shards = self.server.request("GET", f"/{name}/_stats/docs?level=shards")["indices"][name]["shards"]
        numbers = [copies[0]["seq_no"]["max_seq_no"] for copies in shards.values()]
        blocked = described["settings"]["index"].get("blocks")
        return described["settings"]["index"]["uuid"], described["mappings"].get("_meta"), numbers, blocked

    def _answers(self, query: str, *, mixed: bool) -> dict[str, Listed]:
        """Answer of each index, with its own model or with the other's, by the stock retriever on the real index."""
        old, new = (encoder.encode_queries([query])[0].tolist() for encoder in (self.models.old, self.models.new))
        vectors = {OLD: new, NEW: old} if mixed else {OLD: old, NEW: new}
        return {index: listed(self.stock(index, vector)) for index, vector in vectors.items()}

    def stock(self, index: str, vector: list[float], **options: Any) -> list[Document]:
        retriever = OpenSearchEmbeddingRetriever(
            document_store=open_store(self.server, index), top_k=TOP, search_kwargs=EXACT
        )
        found: list[Document] = retriever.run(query_embedding=vector, **options)["documents"]
        return found

    def retriever(self, **options: Any) -> CrossAlignEmbeddingRetriever:
        given = {"document_store": open_store(self.server), "models": self.models.places, "compute_precision": "fp32"}
        given |= {"search_kwargs": EXACT}
        return CrossAlignEmbeddingRetriever(**(given | {"top_k": TOP} | options))

    def switch(self, to: str) -> None:
        point(self.server, to, (OLD if to == NEW else NEW,))

    def origin(self, query: str, found: Listed) -> str:
        """Which index answered a query for its own model; "mixture" or "neither" otherwise."""
        for index, answer in self.right[query].items():
            if same(answer, found):
                return index
        return "mixture" if any(same(answer, found) for answer in self.mixed[query].values()) else "neither"


def same(one: Listed, other: Listed) -> bool:
    """Equal ids in the same order; scores of another batch shape differ in their last bits."""
    return [name for name, _ in one] == [name for name, _ in other] and np.allclose(
        [score for _, score in one], [score for _, score in other], atol=1e-6
    )


@pytest.fixture(scope="module")
def both(opensearch: Any, two_models: TwoModels) -> Iterator[Pair]:
    """Both indices, gone after the module."""
    yield Pair(opensearch, two_models)
    for name in (OLD, NEW):
        delete(opensearch, name)


@pytest.fixture
def pair(both: Pair) -> Pair:
    """Both indices as they are to be, the alias on the old one."""
    both.reset()
    return both


@dataclass
class Traffic:
    """Threads that ask query after query until told to stop.

    :param ask: answers a query.
    :param threads: how many.
    """

    ask: Callable[[str], list[Document]]
    threads: int = 4
    answers: list[tuple[str, Listed]] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)

    def __enter__(self) -> Traffic:
        self._stop = threading.Event()
        self._workers = [threading.Thread(target=self._work, args=(n,)) for n in range(self.threads)]
        for worker in self._workers:
            worker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for worker in self._workers:
            worker.join()

    def wait_for(self, more: int) -> None:
        """Wait until so many more queries were answered or have failed."""
        upto = len(self.answers) + len(self.failures) + more
        while len(self.answers) + len(self.failures) < upto and any(one.is_alive() for one in self._workers):
            time.sleep(0.001)

    def _work(self, number: int) -> None:
        while not self._stop.is_set():
            query = QUERIES[number % len(QUERIES)]
            number += 1
            try:
                self.answers.append((query, listed(self.ask(query))))
            except Exception as error:  # noqa: BLE001 - whatever it is, the test shows it
                self.failures.append(error)
