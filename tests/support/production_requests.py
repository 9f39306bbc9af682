"""An index with texts, vectors, numbers and weighted words; searches as teams send them; and their lists by other ways.

Each kind is there three times: as the file with placeholders, as a Python function that writes the body of one query,
and where numpy can rank what it asks for, as that ranking.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from live_audit import DIMENSION, GROUPS, LANGUAGES, parallel_documents, write_queries

INDEX = "requests-production"
TEMPLATE = "requests-template"
MIN_MAX, RANKS = "requests-min-max", "requests-ranks"
WORDS = ["river", "mountain", "window", "garden", "letter", "winter", "silver", "bridge", "candle", "harbour"]
SIZE = 10
WHOLE = 60
"""Longer than the pool."""

Document = dict[str, Any]
Query = dict[str, Any]


def documents() -> dict[str, Document]:
    """45 documents in three languages; the texts differ in length and in words, so that few scores are equal."""
    rng = np.random.default_rng(17)
    found = parallel_documents()
    for number, document in enumerate(found.values()):
        document["title"] = " ".join(rng.choice(WORDS, size=2 + number % 4))
        document["body"] = " ".join(rng.choice(WORDS, size=10 + number))
        document["popularity"] = int(rng.integers(1, 1000))
        # Of nine bits, which is what a rank_features field keeps; and no two are equal.
        words = rng.choice(WORDS, size=4, replace=False)
        document["words"] = {str(word): (5 * number + place + 1) / 16 for place, word in enumerate(words)}
    return found


def mapping(indexing: Any) -> dict[str, Any]:
    """Mapping of the documents."""
    found: dict[str, Any] = indexing.mapping(DIMENSION)
    text = {"type": "text"}
    more = {"title": text, "body": text, "popularity": {"type": "integer"}, "words": {"type": "rank_features"}}
    found["properties"] |= more
    return found


def queries(path: Path) -> list[Query]:
    """Queries of two words, which name the documents of a content."""
    rng = np.random.default_rng(18)
    written = [json.loads(line) for line in write_queries(path, judged=True).read_text(encoding="utf-8").splitlines()]
    for query in written:
        query["text"] = " ".join(rng.choice(WORDS, size=2, replace=False))
    path.write_text("".join(json.dumps(query) + "\n" for query in written), encoding="utf-8")
    return written


def min_max(**parameters: Any) -> dict[str, Any]:
    """A search pipeline that adds scores brought to 0..1."""
    combination = {"technique": "arithmetic_mean", **({"parameters": parameters} if parameters else {})}
    processor = {"normalization": {"technique": "min_max"}, "combination": combination}
    return {"phase_results_processors": [{"normalization-processor": processor}]}


def reciprocal_ranks() -> dict[str, Any]:
    """A search pipeline that adds reciprocal ranks."""
    return {"phase_results_processors": [{"score-ranker-processor": {"combination": {"technique": "rrf"}}}]}


def words_of(text: Any) -> dict[str, Any]:
    """A query for words in both texts."""
    return {"multi_match": {"query": text, "fields": ["title^2", "body"], "type": "most_fields"}}


def nearest(vector: Any, k: Any, **more: Any) -> dict[str, Any]:
    """A query for the nearest neighbors."""
    return {"knn": {"embedding": {"vector": vector, "k": k, **more}}}


def exact_scores(vector: Any, query: Mapping[str, Any]) -> dict[str, Any]:
    """A query that scores what another finds by cosine."""
    parameters = {"field": "embedding", "query_value": vector, "space_type": "cosinesimil"}
    return {"script_score": {"query": query, "script": {"lang": "knn", "source": "knn_score", "params": parameters}}}


def boosted(text: Any, vector: Any, language: Any) -> dict[str, Any]:
    """Words and neighbours with weights, among documents of one language first."""
    same = {"term": {"language": {"value": language, "boost": 0.5}}}
    title = {"match": {"title": {"query": text, "boost": 3}}}
    return {"bool": {"should": [title, {"match": {"body": text}}, nearest(vector, SIZE), same]}}


def rescored(text: Any, vector: Any) -> dict[str, Any]:
    """The first twenty by words, ranked anew by cosine."""
    inner = {
        "rescore_query": exact_scores(vector, {"match_all": {}}),
        "query_weight": 0,
        "rescore_query_weight": 1,
    }
    return {"query": words_of(text), "rescore": {"window_size": 20, "query": inner}}


def popular(query: Mapping[str, Any]) -> dict[str, Any]:
    """A query whose scores are multiplied by a number of the document."""
    function = {"field_value_factor": {"field": "popularity", "modifier": "log1p"}}
    return {"function_score": {"query": query, "functions": [function], "boost_mode": "multiply"}}


def sparse(first: float, second: float) -> dict[str, Any]:
    """A query for weighted words, as a sparse encoder writes them."""
    return {"neural_sparse": {"words": {"query_tokens": {"river": first, "garden": second}}}}


def nothing(text: Any) -> dict[str, Any]:
    """A condition that adds nothing to any score."""
    return {"constant_score": {"filter": {"match": {"title": text}}, "boost": 0}}


@dataclass(frozen=True)
class Kind:
    """One kind of search.

    :param file: the request file.
    :param body: the body of one query, written without the package.
    :param ranked: what numpy makes of it: ids, best first; None where only the server knows.
    """

    file: dict[str, Any]
    body: Callable[[Query], dict[str, Any]]
    ranked: Callable[[Mapping[str, Document], Query], list[str]] | None = None


def by_cosine(documents: Mapping[str, Document], query: Query, language: str | None = None) -> list[str]:
    """Ids by cosine, best first."""
    names = [name for name, one in documents.items() if language in (None, one["language"])]
    matrix = np.array([documents[name]["embedding"] for name in names])
    scores = matrix @ np.array(query["embedding"]) / np.linalg.norm(matrix, axis=1)
    return [names[place] for place in np.argsort(-scores)]


def by_words(documents: Mapping[str, Document], weights: Mapping[str, float]) -> list[str]:
    """Ids by the sum of weights times weights, of documents that hold one of the words."""
    scores = {
        name: sum(weight * one["words"].get(word, 0.0) for word, weight in weights.items())
        for name, one in documents.items()
    }
    return sorted((name for name in scores if scores[name]), key=lambda name: -scores[name])


def one_of_each_group(documents: Mapping[str, Document], names: list[str]) -> list[str]:
    """The first of each parallel group."""
    firsts: dict[str, str] = {}
    for name in names:
        firsts.setdefault(documents[name]["group"], name)
    return list(firsts.values())


T, V, L, N = "{{query}}", "{{vector}}", "{{language}}", "{{size}}"

KINDS: dict[str, Kind] = {
    "words": Kind(
        {"query": words_of(T), "size": SIZE},
        lambda query: {"query": words_of(query["text"]), "size": SIZE},
    ),
    "popular": Kind(
        {"query": popular(words_of(T)), "size": SIZE},
        lambda query: {"query": popular(words_of(query["text"])), "size": SIZE},
    ),
    "boosted": Kind(
        {"query": boosted(T, V, L), "size": SIZE},
        lambda query: {"query": boosted(query["text"], query["embedding"], query["language"]), "size": SIZE},
    ),
    "rescored": Kind(
        {**rescored(T, V), "size": SIZE},
        lambda query: {**rescored(query["text"], query["embedding"]), "size": SIZE},
    ),
    "collapsed": Kind(
        {"query": exact_scores(V, {"match_all": {}}), "collapse": {"field": "group"}, "size": WHOLE},
        lambda query: {
            "query": exact_scores(query["embedding"], {"match_all": {}}),
            "collapse": {"field": "group"},
            "size": WHOLE,
        },
        lambda documents, query: one_of_each_group(documents, by_cosine(documents, query)),
    ),
    "filtered": Kind(
        {
            "query": nearest(V, N, filter={"term": {"language": L}}, rescore={"oversample_factor": 3.0}),
            "size": SIZE,
        },
        lambda query: {
            "query": nearest(
                query["embedding"],
                SIZE,
                filter={"term": {"language": query["language"]}},
                rescore={"oversample_factor": 3.0},
            ),
            "size": SIZE,
        },
        lambda documents, query: by_cosine(documents, query, query["language"])[:SIZE],
    ),
    "hybrid-min-max": Kind(
        {
            "query": {"hybrid": {"queries": [words_of(T), nearest(V, SIZE)]}},
            "search_pipeline": min_max(weights=[0.3, 0.7]),
            "size": SIZE,
        },
        lambda query: {
            "query": {"hybrid": {"queries": [words_of(query["text"]), nearest(query["embedding"], SIZE)]}},
            "search_pipeline": min_max(weights=[0.3, 0.7]),
            "size": SIZE,
        },
    ),
    "hybrid-ranks": Kind(
        {
            "query": {"hybrid": {"queries": [words_of(T), nearest(V, SIZE)]}},
            "search_pipeline": RANKS,
            "size": SIZE,
        },
        lambda query: {
            "query": {"hybrid": {"queries": [words_of(query["text"]), nearest(query["embedding"], SIZE)]}},
            "search_pipeline": RANKS,
            "size": SIZE,
        },
    ),
    "scored": Kind(
        {"query": exact_scores(V, {"terms": {"language": ["en", L]}}), "size": WHOLE},
        lambda query: {
            "query": exact_scores(query["embedding"], {"terms": {"language": ["en", query["language"]]}}),
            "size": WHOLE,
        },
        lambda documents, query: [
            name for name in by_cosine(documents, query) if documents[name]["language"] in ("en", query["language"])
        ],
    ),
    "template": Kind(
        {"id": TEMPLATE, "params": {"text": T, "vector": V, "size": SIZE}, "search_pipeline": MIN_MAX},
        lambda query: {
            "query": {"hybrid": {"queries": [words_of(query["text"]), nearest(query["embedding"], SIZE)]}},
            "search_pipeline": MIN_MAX,
            "size": SIZE,
        },
    ),
    "sparse": Kind(
        {"query": {"bool": {"must": [sparse(1.7, 0.3137)], "should": [nothing(T)]}}, "size": WHOLE},
        lambda _: {"query": sparse(1.7, 0.3137), "size": WHOLE},
        lambda documents, _: by_words(documents, {"river": 1.7, "garden": 0.3137}),
    ),
}

TEMPLATE_SOURCE = (
    '{"query": {"hybrid": {"queries": [{"multi_match": {"query": "{{text}}", "fields": ["title^2", "body"], '
    '"type": "most_fields"}}, {"knn": {"embedding": {"vector": {{#toJson}}vector{{/toJson}}, "k": {{size}}}}}]}}, '
    '"size": {{size}}}'
)


def prepare(server: Any, indexing: Any, *, shards: int = 2) -> None:
    """Index, search pipelines and search template."""
    indexing.create(server, INDEX, documents(), mapping(indexing), shards=shards)
    server.request("PUT", f"/_search/pipeline/{MIN_MAX}", min_max())
    server.request("PUT", f"/_search/pipeline/{RANKS}", reciprocal_ranks())
    server.request("PUT", f"/_scripts/{TEMPLATE}", {"script": {"lang": "mustache", "source": TEMPLATE_SOURCE}})


def clean(server: Any) -> None:
    """Take all of it away."""
    for path in (f"/{INDEX}", f"/_search/pipeline/{MIN_MAX}", f"/_search/pipeline/{RANKS}", f"/_scripts/{TEMPLATE}"):
        server.request("DELETE", path)


def write(folder: Path, name: str, content: object) -> Path:
    """A request file."""
    path = folder / f"{name}.json"
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")
    return path


def served(server: Any, body: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Ids and scores that a plain search returns, sent without the package."""
    answer = server.request("POST", f"/{INDEX}/_search", body)
    return [(hit["_id"], hit["_score"]) for hit in answer["hits"]["hits"]]


assert GROUPS * len(LANGUAGES) < WHOLE
