"""Exact ranks on a cluster by counting: rank = 1 + number of documents that score higher.

Two small requests per query give the exact ranks of all its relevant documents, however deep they lie:

1. the scores of the relevant documents themselves, with the script that scores everything else;
2. without any hits, a count over all documents that reach the lowest of those scores: for each relevant document how
   many documents of each language score more, and how many score at least as much.

The two counts differ only where other documents have exactly the same score; only then are those documents' ids read,
to order them as the tie rule says (score descending, then document id ascending, as bytes).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from haystack_crossalign.errors import InputError
from haystack_crossalign.opensearch.client import Answer
from haystack_crossalign.opensearch.pool import IndexView
from haystack_crossalign.opensearch.ranked import Counted, RankedVersion, Unranked, build_table
from haystack_crossalign.opensearch.scoring import Query, checked_queries, exact_double, next_above

__all__ = ["CountingBatch", "RelevantDocument", "count_ranks"]

# Most documents with one score whose ids are read; more of them would take paging through the whole tie.
MAX_TIED = 10_000
_MAX_RELEVANT = 1000
_SCORE = {"source": "_score"}


@dataclass(frozen=True)
class RelevantDocument:
    """A relevant document of the pool.

    :param identifier: its id.
    :param score: its exact score, a float32 as the double that equals it.
    :param language: its normalised language.
    """

    identifier: str
    score: float
    language: str


def count_ranks(
    view: IndexView,
    queries: ArrayLike,
    relevant: Sequence[Sequence[str]],
    *,
    query_languages: Sequence[str],
    top_language: bool = False,
    batch: int = 16,
    concurrent: int | None = None,
) -> Counted:
    """Exact ranks of relevant documents among all documents of the pool, each document a version of its own.

    :param view: index, fields and filter; give it a point in time, or the index may change between the requests.
    :param queries: float [Q, dimension], the queries' vectors.
    :param relevant: ids of each query's relevant documents.
    :param query_languages: normalised language of each query.
    :param top_language: whether to find the language at rank 1.
    :param batch: queries in one request.
    :param concurrent: how many searches of one request the server may work on at once; None leaves it to the server.
    :returns: the ranks, and the relevant documents that have none because they are not in the pool.
    :raises InputError: vectors that do not fit, or ids that several documents share.
    :raises ExternalError: the cluster refuses, fails, or gives an incomplete answer.
    """
    vectors = checked_queries(queries, view.fields.vector)
    if not len(vectors) == len(relevant) == len(query_languages):
        raise InputError(
            "vectors, relevant documents and languages must be of the same number",
            field="queries",
            seen=(len(vectors), len(relevant), len(query_languages)),
        )
    unranked: list[Unranked] = []
    ranked: list[list[RankedVersion | None]] = []
    top: list[str | None] = []
    for start in range(0, len(vectors), batch):
        part = slice(start, start + batch)
        counter = CountingBatch(view, vectors[part], relevant[part], concurrent)
        counter.count(top_language)
        ranked += counter.ranked
        top += counter.top
        unranked += [Unranked(start + query, name, reason) for query, name, reason in counter.unranked()]
    table = build_table(
        ranked,
        query_languages=query_languages,
        pool_languages=tuple(view.pool().by_language),
        pool_size=view.pool().documents,
        top=top if top_language else None,
    )
    return Counted(table, tuple(unranked))


class CountingBatch:
    """A few queries on their way: scores, counts, ties.

    `found` holds the relevant documents that the pool has, and `ranked` what was counted above them, both in the order
    of the ids given, with None for documents that the pool lacks; `top` holds the languages at rank 1.

    :param view: index, fields and filter.
    :param vectors: as `haystack_crossalign.opensearch.scoring.checked_queries` returns them.
    :param relevant: ids of each query's relevant documents.
    :param concurrent: searches that the server may work on at once.
    """

    counts_itself = True
    """Whether a relevant document is among the documents counted."""

    def __init__(
        self,
        view: IndexView,
        vectors: Sequence[Sequence[float]],
        relevant: Sequence[Sequence[str]],
        concurrent: int | None,
    ) -> None:
        self.view = view
        self.vectors = vectors
        self.wanted = relevant
        self.concurrent = concurrent
        self.found: list[list[RelevantDocument | None]] = [[None] * len(ids) for ids in relevant]
        self.ranked: list[list[RankedVersion | None]] = [[None] * len(ids) for ids in relevant]
        self.top: list[str | None] = [None] * len(relevant)

    def conditions(self, query: int) -> list[Query]:  # noqa: ARG002 - for those who count in a part of the pool
        """Further conditions on the documents counted for a query."""
        return []

    def count(self, top_language: bool) -> None:
        """Ask for scores, then for counts, then for the ids of ties where there are any."""
        self._find_scores()
        active = [query for query, found in enumerate(self.found) if any(found)]
        bodies = [self._counting_body(query, top_language) for query in active]
        answers = self.view.client.search_all(bodies, self.view.target, concurrent=self.concurrent)
        for query, answer in zip(active, answers, strict=True):
            self._read_counts(query, answer)
        self._order_ties()
        if top_language:
            for query, answer in zip(active, answers, strict=True):
                self.top[query] = self._top_language(query, answer)

    def unranked(self) -> Iterator[tuple[int, str, str]]:
        """Relevant documents without a score, and why."""
        missing = [
            (query, name)
            for query, (ids, found) in enumerate(zip(self.wanted, self.found, strict=True))
            for name, document in zip(ids, found, strict=True)
            if document is None
        ]
        if not missing:
            return
        names = sorted({name for _, name in missing})
        body = {"size": len(names), "_source": False, "query": {"ids": {"values": names}}}
        without = {**body, "query": {"bool": {"filter": [body["query"], self.view.scoring.without_vector()]}}}
        answers = self.view.client.search_all([body, without], self.view.target)
        stored, bare = ({hit["_id"] for hit in answer["hits"]["hits"]} for answer in answers)
        for query, name in missing:
            reason = "no vector" if name in bare else "outside of the filter" if name in stored else "not in the index"
            yield query, name, reason

    def _find_scores(self) -> None:
        """Step 1: the relevant documents' scores and languages."""
        active = [query for query, ids in enumerate(self.wanted) if ids]
        bodies: list[dict[str, Any]] = []
        for query in active:
            ids = list(self.wanted[query])
            if len(set(ids)) != len(ids) or len(ids) > _MAX_RELEVANT:
                raise InputError(
                    "relevant documents of a query must differ",
                    field="relevant",
                    seen=ids,
                    allowed=f"up to {_MAX_RELEVANT} different ids",
                )
            # One more than asked for shows ids that several documents share.
            query_body = self.view.scoring.scored(self.vectors[query], {"ids": {"values": ids}})
            bodies.append({"size": len(ids) + 1, "query": query_body, **self.view.hit_fields()})
        answers = self.view.client.search_all(bodies, self.view.target, concurrent=self.concurrent)
        for query, answer in zip(active, answers, strict=True):
            hits = {hit["_id"]: hit for hit in answer["hits"]["hits"]}
            if len(hits) < len(answer["hits"]["hits"]):
                raise InputError("several documents share an id", field="relevant", seen=sorted(hits)[:5])
            for column, name in enumerate(self.wanted[query]):
                if (hit := hits.get(name)) is not None:
                    language = self.view.hit_language(hit)
                    self.found[query][column] = RelevantDocument(name, exact_double(hit["_score"]), language)

    def _counting_body(self, query: int, top_language: bool) -> dict[str, Any]:
        """Step 2: documents above each relevant one, by language, and those that reach its score."""
        documents = [(str(column), one) for column, one in enumerate(self.found[query]) if one is not None]
        lowest = min(one.score for _, one in documents)
        more = [{"key": key, "from": next_above(one.score)} for key, one in documents]
        least = [{"key": key, "from": one.score} for key, one in documents]
        aggregations: dict[str, Any] = {
            "more": {"range": {"script": _SCORE, "ranges": more}},
            "least": {"range": {"script": _SCORE, "ranges": least}},
        }
        if split := self.view.by_language():
            aggregations["more"]["aggs"] = split
        if top_language:
            best = {"max": {"script": _SCORE}}
            aggregations |= self.view.by_language(best=best) or {"best": best}
        return {
            "size": 0,
            "track_total_hits": False,
            "query": self.view.scoring.scored(self.vectors[query], *self.conditions(query), minimum=lowest),
            "aggs": aggregations,
        }

    def _read_counts(self, query: int, answer: Answer) -> None:
        more = {bucket["key"]: bucket for bucket in answer["aggregations"]["more"]["buckets"]}
        least = {bucket["key"]: int(bucket["doc_count"]) for bucket in answer["aggregations"]["least"]["buckets"]}
        for column, document in enumerate(self.found[query]):
            if document is None:
                continue
            bucket = more[str(column)]
            higher, reaching = int(bucket["doc_count"]), least[str(column)]
            above = self.view.language_counts(bucket, higher)
            if reaching < higher + self.counts_itself:
                raise self.view.vanished(f"document '{document.identifier}'")
            self.ranked[query][column] = RankedVersion(
                document.language, higher + 1, higher + 1, reaching + 1 - self.counts_itself, above
            )

    def _order_ties(self) -> None:
        """Move relevant documents down by the documents of equal score whose ids come first."""
        ties: dict[tuple[int, float], int] = {}
        for query, row in enumerate(self.ranked):
            for version, document in zip(row, self.found[query], strict=True):
                if version is not None and document is not None and version.pessimistic > version.optimistic:
                    ties[query, document.score] = version.pessimistic - version.optimistic + self.counts_itself
        bodies = [self._tied_body(query, score, count) for (query, score), count in ties.items()]
        answers = self.view.client.search_all(bodies, self.view.target, concurrent=self.concurrent)
        for ((query, score), count), answer in zip(ties.items(), answers, strict=True):
            hits = answer["hits"]["hits"]
            if len(hits) != count or any(exact_double(hit["sort"][0]) != score for hit in hits):
                raise self.view.vanished(f"{count} documents with one score")
            for column, document in enumerate(self.found[query]):
                version = self.ranked[query][column]
                if version is None or document is None or document.score != score:
                    continue
                above = dict(version.above)
                for hit in hits:
                    if hit["_id"].encode() < document.identifier.encode():
                        tag = self.view.hit_language(hit)
                        above[tag] = above.get(tag, 0) + 1
                self.ranked[query][column] = replace(version, rank=sum(above.values()) + 1, above=above)

    def _tied_body(self, query: int, score: float, count: int) -> dict[str, Any]:
        """Request for the documents with exactly this score: the lowest ones of those that reach it."""
        if count > MAX_TIED:
            raise InputError(
                f"{count} documents have the same score for one query, too many to order by id",
                field=self.view.fields.vector.name,
                allowed=f"up to {MAX_TIED}",
            )
        return {
            "size": count,
            "track_total_hits": False,
            "query": self.view.scoring.scored(self.vectors[query], *self.conditions(query), minimum=score),
            "sort": [{"_score": "asc"}],
            **self.view.hit_fields(),
        }

    def _top_language(self, query: int, answer: Answer) -> str:
        """Language of the document at rank 1."""
        if self.view.fields.language is None:
            return self.view.tag(None)
        best: dict[str, float] = {}
        for bucket in answer["aggregations"]["languages"]["buckets"]:
            tag = self.view.tag(bucket["key"])
            best[tag] = max(best.get(tag, -np.inf), float(bucket["best"]["value"]))
        score = max(best.values())
        languages = [tag for tag, value in best.items() if value == score]
        if len(languages) == 1:
            return languages[0]
        body = {
            "size": MAX_TIED,
            "track_total_hits": False,
            "query": self.view.scoring.scored(self.vectors[query], minimum=score),
            **self.view.hit_fields(),
        }
        hits = self.view.client.search(body, self.view.target)["hits"]["hits"]
        return self.view.hit_language(min(hits, key=lambda hit: str(hit["_id"]).encode()))
