"""Compare new embeddings of stored documents with their stored vectors, without reading the vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray

from haystack_crossalign.languages import UNDETERMINED
from haystack_crossalign.opensearch.connection.client import Answer
from haystack_crossalign.opensearch.index.groups import Member, read_stored, stored_request, stored_text
from haystack_crossalign.opensearch.index.pool import IndexView

LONG = 1500
"""Characters; of a longer text the end may have been cut elsewhere, so that shorter ones are preferred."""


@dataclass(frozen=True)
class StoredText:
    """A stored document with the texts from which its vector was probably made.

    :param index: its real index.
    :param identifier: its id.
    :param text: value of the content field.
    :param title: value of the title field, empty if there is none.
    """

    index: str
    identifier: str
    text: str
    title: str = ""


def sample_texts(
    view: IndexView, *, count: int, seed: int, content_field: str, title_field: str | None = None
) -> list[StoredText]:
    """Documents of the pool in a random order, spread evenly over its most frequent languages.

    :param view: index, fields and filter.
    :param count: maximum number of documents.
    :param seed: the same seed draws the same documents, as long as the index does not change.
    :param content_field: stored field with the text.
    :param title_field: field with a title.
    :returns: fewer than ``count`` if the pool has no more with a text; none if texts are not stored.
    """
    languages = max(1, min(count, len(view.pool().by_language)))
    # Twice as many as needed, so that documents without a text and very long ones can be skipped.
    each = min(100, 2 * -(-count // languages) + 2)
    wanted = [content_field] if title_field is None else [content_field, title_field]
    drawn = {
        "function_score": {
            "query": view.scoring.pool(),
            "random_score": {"seed": seed, "field": "_seq_no"},
            "boost_mode": "replace",
        }
    }
    body: dict[str, Any] = {"size": 0, "track_total_hits": False, "query": drawn}
    stored = stored_request(view, wanted)
    if view.fields.language is None:
        body |= {"size": each, **stored}
    else:
        hits = {"top_hits": {"size": each, **stored}}
        body["aggs"] = view.by_language(drawn=hits)
        body["aggs"]["languages"]["terms"]["size"] = count
    answer = view.client.search(body, view.target)
    parts = [answer] if view.fields.language is None else _buckets(answer)
    texts = [_texts(view, part, content_field, title_field) for part in parts]
    mixed = [text for text in chain.from_iterable(zip_longest(*texts)) if text is not None]
    return mixed[:count]


def stored_cosines(
    view: IndexView, documents: Sequence[StoredText], vectors: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Cosine of each vector with the stored vector of the corresponding document.

    The server computes it, so it is available even if vectors are excluded from stored documents; of several nested
    vectors the nearest counts. For a byte field the vector is scaled to the range of bytes.

    :param view: index and fields.
    :param documents: n documents.
    :param vectors: float32 [n, dimension].
    :returns: float64 [n]; NaN if the document is gone.
    """
    if view.fields.vector.data_type == "byte":
        largest = np.maximum(np.abs(vectors).max(axis=1, keepdims=True), np.finfo(np.float32).tiny)
        vectors = np.rint(vectors * (127 / largest)).astype(np.float32)
    # Scores must not be negative.
    source = "cosineSimilarity(params.vector, doc[params.field]) + 2.0"
    return _scores(view, documents, source, vectors) - 2.0


def stored_lengths(view: IndexView, documents: Sequence[StoredText]) -> NDArray[np.float64]:
    """Euclidean length of the stored vector of each document: float64 [n]; NaN if the document is gone."""
    zeros = np.zeros((len(documents), view.fields.vector.dimension), dtype=np.float32)
    return np.sqrt(_scores(view, documents, "l2Squared(params.vector, doc[params.field])", zeros))


def _scores(
    view: IndexView, documents: Sequence[StoredText], source: str, vectors: NDArray[np.float32]
) -> NDArray[np.float64]:
    bodies = []
    for document, vector in zip(documents, vectors, strict=True):
        script = {"source": source, "params": {"field": view.fields.vector.name, "vector": vector.tolist()}}
        only = {"bool": {"filter": [{"ids": {"values": [document.identifier]}}, {"term": {"_index": document.index}}]}}
        query = _scripted(view, script, only)
        bodies.append({"size": 1, "track_total_hits": False, "_source": False, "query": query})
    scores = np.full(len(documents), np.nan)
    for row, answer in enumerate(view.client.search_all(bodies, view.target)):
        for hit in answer["hits"]["hits"]:
            scores[row] = float(hit["_score"])
    return scores


def _scripted(view: IndexView, script: dict[str, Any], only: dict[str, Any]) -> dict[str, Any]:
    path = view.fields.vector.nested_path
    if path is None:
        return {"script_score": {"query": view.scoring.pool(only), "script": script}}
    inner = {"script_score": {"query": {"exists": {"field": view.fields.vector.name}}, "script": script}}
    nested = {"nested": {"path": path, "score_mode": "max", "query": inner}}
    return {"bool": {"must": [nested], "filter": [only]}}


def _buckets(answer: Answer) -> list[Answer]:
    return [bucket["drawn"] for bucket in answer.get("aggregations", {}).get("languages", {}).get("buckets", [])]


def _texts(view: IndexView, part: Answer, content_field: str, title_field: str | None) -> list[StoredText]:
    texts = []
    for hit in part["hits"]["hits"]:
        member = Member(str(hit["_id"]), UNDETERMINED, None, read_stored(view, hit))
        text = stored_text(member, content_field)
        if text.strip():
            title = "" if title_field is None else stored_text(member, title_field)
            texts.append(StoredText(str(hit["_index"]), member.identifier, text, title))
    return sorted(texts, key=lambda text: len(text.text) > LONG)
