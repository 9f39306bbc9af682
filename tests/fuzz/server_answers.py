"""A server whose answers are those of OpenSearch but for one that is odd: a page, a wrong type, a part missing."""

from __future__ import annotations

import contextlib
import gzip
import json
import random
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from local_servers import INFO, Received, http_server
from mutations import mutated_json

__all__ = ["QUERIES", "odd_recording", "odd_server"]

RECORDED = json.loads((Path(__file__).parent / "recorded_audit.json").read_text(encoding="utf-8"))
"""An audit of a real OpenSearch: its queries, and method, path, status and answer of each request in order."""
QUERIES = "".join(json.dumps(query) + "\n" for query in RECORDED["queries"])

SHARDS = {"total": 1, "successful": 1, "skipped": 0, "failed": 0}
MAPPING = {
    "properties": {
        "embedding": {"type": "knn_vector", "dimension": 2, "method": {"name": "hnsw", "space_type": "l2", "engine": "lucene"}},
        "language": {"type": "keyword"},
        "g": {"type": "keyword"},
        "content": {"type": "text"},
    }
}  # fmt: skip
HIT = {
    "_index": "i", "_id": "en-1", "_score": 1.0, "sort": ["en-1"], "fields": {"language": ["en"], "g": ["1"]},
    "_source": {"embedding": [0.5, 0.5], "language": "en", "g": "1", "content": "some text"},
}  # fmt: skip


def _search(body: dict[str, Any]) -> dict[str, Any]:
    """The answer to a search, with each aggregation that it asks for."""
    size = body.get("size", 10)
    hits = [HIT, HIT | {"_id": "zh-1"}][:size]
    answer: dict[str, Any] = {
        "took": 1, "timed_out": False, "status": 200, "_shards": SHARDS,
        "hits": {"total": {"value": 2, "relation": "eq"}, "max_score": 1.0, "hits": hits},
    }  # fmt: skip
    if aggregations := body.get("aggs"):
        answer["aggregations"] = _aggregations(aggregations)
    return answer


def _aggregations(asked: dict[str, Any]) -> dict[str, Any]:
    answers = {}
    for name, request in asked.items():
        inner = _aggregations(request.get("aggs", {}))
        if "terms" in request:
            buckets = [{"key": key, "doc_count": 1, **inner} for key in ("en", "zh")]
            answers[name] = {"buckets": buckets, "sum_other_doc_count": 0, "doc_count_error_upper_bound": 0}
        elif "composite" in request:
            keys = [next(iter(source)) for source in request["composite"]["sources"]]
            answers[name] = {"buckets": [{"key": dict.fromkeys(keys, "1"), "doc_count": 2, **inner}]}
        elif "range" in request:
            answers[name] = {
                "buckets": [{"key": one["key"], "doc_count": 1, **inner} for one in request["range"]["ranges"]]
            }
        elif "cardinality" in request or "value_count" in request:
            answers[name] = {"value": 2}
        else:
            answers[name] = {"doc_count": 2, **inner}
    return answers


ANSWERS: dict[str, Any] = {
    "/": {**INFO, "cluster_uuid": "u"},
    "/i/_mapping": {"i": {"mappings": MAPPING}},
    "/i/_settings": {"i": {"settings": {"index.knn": "true", "index.number_of_shards": "1", "index.uuid": "u"}}},
    "/i/_alias": {"i": {"aliases": {"other": {}}}},
    "/_cluster/health/i": {"status": "green", "active_primary_shards": 1, "unassigned_shards": 0, "timed_out": False},
    "/i/_stats/docs,indexing": {
        "_shards": SHARDS,
        "indices": {"i": {"uuid": "u", "primaries": {"docs": {"count": 2}},
                          "shards": {"0": [{"seq_no": {"max_seq_no": 3}, "routing": {"primary": True}}]}}},
    },
    "/i/_count": {"count": 2, "_shards": SHARDS},
    "/i/_search/point_in_time": {"pit_id": "p", "_shards": SHARDS, "creation_time": 1},
    "/_search/point_in_time": {"pits": [{"pit_id": "p", "successful": True}]},
    "/_msearch": {},
}  # fmt: skip
PAGE = "<html><body>Sign in to the network \x1b[2J</body></html>"


@contextlib.contextmanager
def odd_server(chance: random.Random) -> Iterator[str]:
    """Serves all answers, those to one path odd; yields the address."""
    odd = chance.choice(list(ANSWERS))
    kind = chance.randrange(8)
    status = chance.choice((200, 200, 200, 301, 400, 401, 403, 404, 429, 500, 503))
    seed = chance.randrange(2**32)

    def answer(received: Received) -> tuple[int, Any]:
        path = received.target.split("?")[0]
        base = ANSWERS.get(path, {})
        if path == "/_msearch":
            raw = received.body
            if dict(received.headers).get("content-encoding") == "gzip":
                raw = gzip.decompress(raw)
            base = {"took": 1, "responses": [_search(json.loads(line)) for line in raw.splitlines()[1::2]]}
        if path != odd:
            return 200, base
        if kind == 0:
            return status, PAGE
        if kind == 1:
            return status, {
                "error": json.loads(_safe(mutated_json(_error(received), random.Random(seed)))),
                "status": status,
            }
        return 200, mutated_json(base, random.Random(seed)).encode("utf-8", "replace")

    with http_server(answer) as url:
        yield url


@contextlib.contextmanager
def odd_recording(chance: random.Random) -> Iterator[str]:
    """Serves the recorded answers, each path's in their order, one of them odd; yields the address."""
    exchanges = RECORDED["exchanges"]
    odd = chance.randrange(len(exchanges))
    kind = chance.randrange(8)
    status = chance.choice((200, 400, 403, 404, 429, 500, 503))
    seed = chance.randrange(2**32)
    pending: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for number, (method, path, _, _) in enumerate(exchanges):
        pending[method, path].append(number)

    def answer(received: Received) -> tuple[int, Any]:
        own = pending.get((received.method, received.target.split("?")[0]))
        if not own:
            return 404, {"error": {"type": "x_exception", "reason": "not recorded"}, "status": 404}
        # What is asked again, since an answer could not be right, gets the last answer again.
        number = own.pop(0) if len(own) > 1 else own[0]
        _, _, usual, value = exchanges[number]
        if number != odd:
            return usual, value
        if kind == 0:
            return status, PAGE
        if kind == 1:
            return status, {"error": json.loads(_safe(mutated_json(_error(received), random.Random(seed))))}
        return usual, mutated_json(value, random.Random(seed)).encode("utf-8", "replace")

    with http_server(answer) as url:
        yield url


def _error(received: Received) -> dict[str, Any]:
    header = dict(received.headers).get("authorization", "")
    reason = f"refused {header} \x1b[2J"
    return {
        "type": "x_exception",
        "reason": reason,
        "root_cause": [{"type": "x", "reason": reason}],
        "caused_by": {"reason": reason},
    }


def _safe(text: str) -> str:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return "{}"
    return text
