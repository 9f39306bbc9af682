"""Clients search by the alias all the while an index is upgraded and rolled back."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from switching import ALIAS, DIMENSION, OLD, QUERIES, TEXTS, TOP, Pair, Traffic, both, pair, same, two_models
from upgrading import moved, remove

from haystack_crossalign.models.identity import describe_model
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.repair.affine import AffineMap
from haystack_crossalign.repair.matrix_file import write_matrix_file
from haystack_crossalign.upgrade.front import open_way, run_upgrade
from haystack_crossalign.upgrade.options import UpgradeOptions
from haystack_crossalign.upgrade.rollback import roll_back

__all__ = ["both", "pair", "two_models"]

OPTIONS = UpgradeOptions(unit=20, lease=2.0)


@pytest.fixture
def cleaned(pair: Pair) -> Iterator[Pair]:
    remove(pair.server, f"{ALIAS}-2*", "crossalign-ledger")
    yield pair
    remove(pair.server, f"{ALIAS}-2*", "crossalign-ledger")
    pair.server.request("PUT", f"/{OLD}/_settings", {"index.blocks.write": None})


def best(documents: np.ndarray, query: np.ndarray) -> tuple[tuple[str, float], ...]:
    """The nearest by cosine, with the score that the server gives: (1 + cos) / 2."""
    cosines = documents.astype(np.float64) @ query
    return tuple((list(TEXTS)[row], float(1 + cosines[row]) / 2) for row in np.argsort(-cosines)[:TOP])


def test_every_answer_is_of_one_index_for_its_own_model(cleaned: Pair, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    weights = rng.normal(size=(DIMENSION, DIMENSION + 1))
    path = tmp_path / "matrix.safetensors"
    old = cleaned.models.old
    floats = weights.astype(np.float32)
    write_matrix_file(AffineMap(floats[:, :-1].copy(), floats[:, -1].copy()), path, base=describe_model(old))
    documents = old.encode_documents(list(TEXTS.values()))
    after = np.array([moved(floats.astype(np.float64), vector) for vector in documents])
    queries = dict(zip(QUERIES, old.encode_queries(QUERIES), strict=True))
    right = {
        query: {"old": best(documents, vector), "new": best(after, moved(floats.astype(np.float64), vector))}
        for query, vector in queries.items()
    }
    assert not any(same(answers["old"], answers["new"]) for answers in right.values())
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    retriever = cleaned.retriever(models=cleaned.models.places | {digest[:12]: str(path)})
    retriever.warm_up()
    client = ReadOnlyClient(cleaned.server.url)
    marks: list[int] = []
    with Traffic(lambda query: retriever.run(query)["documents"]) as traffic:
        for _ in range(2):
            traffic.wait_for(12)
            outcome = run_upgrade(client, ALIAS, open_way(path, None, OPTIONS), OPTIONS)
            assert outcome.state == "switched"
            marks.append(len(traffic.answers))
            traffic.wait_for(24)
            marks.append(len(traffic.answers))
            assert roll_back(client, ALIAS, lease=2.0).index == OLD
        traffic.wait_for(12)
    client.close()
    assert traffic.failures == []
    origins = [
        next((index for index, answer in right[query].items() if same(answer, found)), "neither")
        for query, found in traffic.answers
    ]
    assert set(origins) == {"old", "new"}
    # Queries that were under way at the switch may still be the old index's; each thread has one.
    for begin, end in zip(marks[::2], marks[1::2], strict=True):
        assert origins[begin:end].count("old") <= traffic.threads
    assert origins[-1] == "old"
