"""Exact ranks on a cluster by counting: rank = 1 + number of documents that score higher.

Two small requests per query give the exact ranks of all its relevant documents, at any depth:

1. the scores of the relevant documents, with the same script as for all other documents;
2. without hits, counts by language over all documents that reach the lowest of those scores, in ranges bounded by the
  scores of the relevant documents: between two of them, and with exactly such a score.

Sums over the ranges above a relevant document give its rank and the documents above it. Only if other documents have
exactly its score, their ids are read, to order them by the tie rule (score descending, then the hash of
`haystack_crossalign.ranks.ties`). The ranges do not overlap, so the server examines each document's score once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from numpy.typing import ArrayLike

from haystack_crossalign.errors import InputError
from haystack_crossalign.opensearch.connection.client import Answer
from haystack_crossalign.opensearch.connection.failures import settled
from haystack_crossalign.opensearch.exact.ranked import (
    REASONS,
    Counted,
    RankedVersion,
    TableBuilder,
    Top,
    Unranked,
)
from haystack_crossalign.opensearch.index.pool import IndexView
from haystack_crossalign.opensearch.index.scoring import Query, checked_queries, exact_double, next_above

# Maximum number of documents with equal score whose ids are read; more would require paging.
MAX_TIED = 10_000
_MAX_RELEVANT = 1000
_SCORE = {"source": "_score"}


@dataclass(frozen=True)
class RelevantDocument:
    """A relevant document of the pool.

    :param identifier: its name, see `haystack_crossalign.opensearch.index.names`.
    :param score: its exact score, a float32 value as a double.
    :param language: its normalized language.
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
    """Exact ranks of relevant documents among all documents of the pool, where each document is its own version.

    :param view: index, fields and filter; use a point in time, or the index may change between the requests.
    :param queries: float [Q, dimension], the queries' vectors.
    :param relevant: names of each query's relevant documents.
    :param query_languages: normalized language of each query.
    :param top_language: whether to find the language at rank 1.
    :param batch: queries in one request.
    :param concurrent: maximum concurrent searches on the server; None for the server's default.
    :returns: the ranks, and the relevant documents without a rank because they are not in the pool.
    :raises InputError: for vectors that do not fit the field, or ids shared by several documents.
    :raises ExternalError: if the cluster refuses, fails, or gives an incomplete response.
    """
    vectors = checked_queries(queries, view.fields.vector)
    if not len(vectors) == len(relevant) == len(query_languages):
        raise InputError(
            "vectors, relevant documents and languages must be of the same number",
            field="queries",
            seen=(len(vectors), len(relevant), len(query_languages)),
        )
    unranked: list[Unranked] = []
    builder = TableBuilder(
        [len(ids) for ids in relevant],
        query_languages=query_languages,
        pool_languages=tuple(view.pool().by_language),
        top_language=top_language,
    )
    for start in range(0, len(vectors), batch):
        part = slice(start, start + batch)
        counter = CountingBatch(view, vectors[part], relevant[part], concurrent)
        counter.count(top_language)
        builder.fill(start, counter.ranked, counter.top)
        unranked += [Unranked(start + query, name, reason) for query, name, reason in counter.unranked()]
    return Counted(builder.table(view.pool().documents), tuple(unranked))


def relevant_documents(
    view: IndexView,
    vectors: Sequence[Sequence[float]],
    relevant: Sequence[Sequence[str]],
    concurrent: int | None = None,
) -> list[list[RelevantDocument | None]]:
    """Scores and languages of each query's relevant documents, in the order of the ids; None for documents not in the
    pool.

    :param view: index, fields and filter.
    :param vectors: as `haystack_crossalign.opensearch.index.scoring.checked_queries` returns them.
    :param relevant: names of each query's relevant documents.
    :param concurrent: searches that the server may work on at once.
    :raises InputError: ids that are repeated or too many, or that several documents share.
    """
    documents: list[list[RelevantDocument | None]] = [[None] * len(ids) for ids in relevant]
    active = [query for query, ids in enumerate(relevant) if ids]
    bodies: list[dict[str, Any]] = []
    for query in active:
        ids = list(relevant[query])
        if len(set(ids)) != len(ids) or len(ids) > _MAX_RELEVANT:
            raise InputError(
                "relevant documents of a query must differ",
                field="relevant",
                seen=ids,
                allowed=f"up to {_MAX_RELEVANT} different ids",
            )
        # One more than needed, to detect ids shared by several documents.
        query_body = view.scoring.scored(vectors[query], view.names.query(ids))
        bodies.append({"size": len(ids) + 1, "query": query_body, **view.hit_fields()})
    answers = view.client.search_all(bodies, view.target, concurrent=concurrent)
    for query, answer in zip(active, answers, strict=True):
        hits = {view.names.of(hit): hit for hit in answer["hits"]["hits"]}
        if len(hits) < len(answer["hits"]["hits"]):
            raise InputError("several documents share an id", field="relevant", seen=sorted(hits)[:5])
        for column, name in enumerate(relevant[query]):
            if (hit := hits.get(name)) is not None:
                documents[query][column] = RelevantDocument(name, exact_double(hit["_score"]), view.hit_language(hit))
    return documents


def reasons_without_rank(view: IndexView, names: Collection[str]) -> dict[str, str]:
    """Why documents have no score, by name: one of `REASONS`.

    :param view: index, fields and filter.
    :param names: names of documents that the pool lacks.
    """
    wanted, most = sorted(names), view.fields.most_hits
    reasons: dict[str, str] = {}
    for start in range(0, len(wanted), most):
        part = wanted[start : start + most]
        body = {"size": len(part), "_source": False, "query": view.names.query(part)}
        without = {**body, "query": {"bool": {"filter": [body["query"], view.scoring.without_vector()]}}}
        answers = view.client.search_all([body, without], view.target)
        stored, bare = ({view.names.of(hit) for hit in answer["hits"]["hits"]} for answer in answers)
        for name in part:
            reasons[name] = REASONS[0] if name in bare else REASONS[1] if name in stored else REASONS[2]
    return reasons


class CountingBatch:
    """A batch of queries during counting: scores, counts, ties.

    After counting, `found` holds the relevant documents in the pool, and `ranked` the counts above them, both in the
    order of the given ids, with None for documents not in the pool; `top` holds the version at rank 1.

    :param view: index, fields and filter.
    :param vectors: as `haystack_crossalign.opensearch.index.scoring.checked_queries` returns them.
    :param relevant: names of each query's relevant documents.
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
        self.found: list[list[RelevantDocument | None]] = []
        self.ranked: list[list[RankedVersion | None]] = []
        self.top: list[Top | None] = []

    def conditions(self, query: int) -> list[Query]:  # noqa: ARG002 - for those who count in a part of the pool
        """Further conditions on the documents counted for a query."""
        return []

    def count(self, top_language: bool) -> None:
        """Request scores, then counts, then the ids of ties if there are any.

        :raises ContradictionError: if the responses contradict each other several times in a row.
        """
        settled(partial(self._count, top_language))

    def _count(self, top_language: bool) -> None:
        self.ranked = [[None] * len(ids) for ids in self.wanted]
        self.top = [None] * len(self.wanted)
        self.found = relevant_documents(self.view, self.vectors, self.wanted, self.concurrent)
        active = [query for query, documents in enumerate(self.found) if any(documents)]
        bodies = [self._counting_body(query, top_language) for query in active]
        answers = self.view.client.search_all(bodies, self.view.target, concurrent=self.concurrent)
        for query, answer in zip(active, answers, strict=True):
            self._read_counts(query, answer)
        self._order_ties()
        if top_language:
            for query, answer in zip(active, answers, strict=True):
                self.top[query] = self._first(query, answer)

    def unranked(self) -> Iterator[tuple[int, str, str]]:
        """Relevant documents without a score, and why."""
        missing = [
            (query, name)
            for query, (ids, documents) in enumerate(zip(self.wanted, self.found, strict=True))
            for name, document in zip(ids, documents, strict=True)
            if document is None
        ]
        reasons = reasons_without_rank(self.view, {name for _, name in missing})
        for query, name in missing:
            yield query, name, reasons[name]

    def _counting_body(self, query: int, top_language: bool) -> dict[str, Any]:
        """Step 2: documents by language in ranges bounded by the relevant documents' scores."""
        levels = self._levels(query)
        ranges: list[dict[str, Any]] = []
        for number, level in enumerate(levels):
            above = next_above(level)
            ranges.append({"key": f"={number}", "from": level, "to": above})
            if number + 1 == len(levels):
                ranges.append({"key": f">{number}", "from": above})
            elif above < levels[number + 1]:
                ranges.append({"key": f">{number}", "from": above, "to": levels[number + 1]})
        counts: dict[str, Any] = {"range": {"script": _SCORE, "ranges": ranges}}
        if split := self.view.by_language():
            counts["aggs"] = split
        body = {
            "size": 0,
            "track_total_hits": False,
            "query": self.view.scoring.scored(self.vectors[query], *self.conditions(query), minimum=levels[0]),
            "aggs": {"counts": counts},
        }
        # Of two hits the first is at rank 1, unless both have the same score.
        return body | {"size": 2, **self.view.hit_fields()} if top_language else body

    def _levels(self, query: int) -> list[float]:
        """Different scores of a query's relevant documents, ascending."""
        return sorted({document.score for document in self.found[query] if document is not None})

    def _read_counts(self, query: int, answer: Answer) -> None:
        buckets = {bucket["key"]: bucket for bucket in answer["aggregations"]["counts"]["buckets"]}
        levels = self._levels(query)
        above: Counter[str] = Counter()
        for number in reversed(range(len(levels))):
            for key in (f">{number}", f"={number + 1}"):
                if bucket := buckets.get(key):
                    above.update(self.view.language_counts(bucket, int(bucket["doc_count"])))
            level = buckets[f"={number}"]
            higher, same = above.total(), int(level["doc_count"])
            equal = self.view.language_counts(level, same)
            for column, document in enumerate(self.found[query]):
                if document is None or document.score != levels[number]:
                    continue
                if same < self.counts_itself:
                    raise self.view.vanished(f"document '{document.identifier}'")
                tied = Counter(equal)
                tied[document.language] -= self.counts_itself
                self.ranked[query][column] = RankedVersion(
                    language=document.language,
                    rank=higher + 1,
                    optimistic=higher + 1,
                    pessimistic=higher + same + 1 - self.counts_itself,
                    above=dict(above),
                    higher=dict(above),
                    tied=+tied,
                )

    def _order_ties(self) -> None:
        """Add to the ranks the documents of equal score that are earlier in the tie order."""
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
                names = self.view.names
                own = names.tie_key(document.identifier)
                for hit in hits:
                    if names.tie_key(names.of(hit)) < own:
                        tag = self.view.hit_language(hit)
                        above[tag] = above.get(tag, 0) + 1
                self.ranked[query][column] = replace(version, rank=sum(above.values()) + 1, above=above)

    def _tied_body(self, query: int, score: float, count: int) -> dict[str, Any]:
        """Request for the documents with exactly this score: the lowest ones of those that reach it."""
        if count > self._most_tied:
            raise self._too_many_tied(f"{count} documents")
        return {
            "size": count,
            "track_total_hits": False,
            "query": self.view.scoring.scored(self.vectors[query], *self.conditions(query), minimum=score),
            "sort": [{"_score": "asc"}],
            **self.view.hit_fields(),
        }

    def _first(self, query: int, answer: Answer) -> Top:
        """The document at rank 1, and those that tie with it."""
        if self.view.fields.language is None:
            # Nothing to read: there is only one language, and the ties of a relevant document at rank 1 are known.
            tag = self.view.tag(None)
            there = [version for version in self.ranked[query] if version is not None and version.optimistic == 1]
            return Top(tag, {tag: there[0].pessimistic if there else 1})
        first, *others = answer["hits"]["hits"]
        score = exact_double(first["_score"])
        if not others or exact_double(others[0]["_score"]) < score:
            language = self.view.hit_language(first)
            return Top(language, {language: 1})
        body = {
            "size": self._most_tied,
            "track_total_hits": False,
            "query": self.view.scoring.scored(self.vectors[query], minimum=score),
            **self.view.hit_fields(),
        }
        hits = self.view.client.search(body, self.view.target)["hits"]["hits"]
        if len(hits) == self._most_tied:
            raise self._too_many_tied(f"{self._most_tied} documents or more")
        if not hits:
            raise self.view.vanished("the document that scores highest")
        names = self.view.names
        language = self.view.hit_language(min(hits, key=lambda hit: names.tie_key(names.of(hit))))
        return Top(language, Counter(map(self.view.hit_language, hits)))

    @property
    def _most_tied(self) -> int:
        return min(MAX_TIED, self.view.fields.most_hits)

    def _too_many_tied(self, documents: str) -> InputError:
        return InputError(
            f"{documents} have the same score for one query, too many to order",
            field=self.view.fields.vector.name,
            allowed=f"up to {self._most_tied}",
        )
