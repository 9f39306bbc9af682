"""Exact ranks of versions if documents are chunks: a version has the rank of its best chunk.

A version is one (parallel group, language). Its rank is 1 + the number of versions whose best chunk scores higher. A
cardinality aggregation gives only an estimate of the number of versions, so the cluster returns, for all chunks that
reach the lowest relevant score, one row for each version with its best score: as many rows as the deepest relevant
version's rank, independent of the size of the index. Ranks, bounds and counts by language follow from them. Documents
without a group are their own versions, counted as in `haystack_crossalign.opensearch.exact.counting`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from numpy.typing import ArrayLike

from haystack_crossalign.errors import InputError
from haystack_crossalign.opensearch.connection.client import Answer
from haystack_crossalign.opensearch.connection.failures import ContradictionError, settled
from haystack_crossalign.opensearch.exact.counting import MAX_TIED, reasons_without_rank, relevant_documents
from haystack_crossalign.opensearch.exact.ranked import Counted, RankedVersion, TableBuilder, Top, Unranked
from haystack_crossalign.opensearch.index.buckets import all_buckets, by_version, without_group
from haystack_crossalign.opensearch.index.pool import IndexView
from haystack_crossalign.opensearch.index.scoring import checked_queries, exact_double, next_above

_SCORE = {"source": "_score"}
_BEST = {"max": {"script": _SCORE}}


@dataclass(frozen=True, order=True)
class Version:
    """The ranked unit: the chunks of a parallel group in one language, or a document without a group.

    Versions are ordered: those of groups by group and language, then single documents by id.

    :param single: whether it is a document without a group.
    :param group: value of the group field; for a single document its id.
    :param language: normalized language.
    """

    single: bool = field(default=False, kw_only=True)
    group: str
    language: str

    @classmethod
    def of(cls, identifier: str, language: str, group: str | None) -> Version:
        """The version that a document belongs to.

        :param identifier: the document's id.
        :param language: its normalized language.
        :param group: its parallel group, None if it has none.
        """
        return cls(identifier, language, single=True) if group is None else cls(group, language)

    @property
    def name(self) -> str:
        """How reports call it."""
        return self.group if self.single else f"{self.group} ({self.language})"


@dataclass(frozen=True)
class VersionPool:
    """Versions in the pool.

    :param versions: their number; a document without a group counts as one.
    :param by_language: number by normalized language, sorted by tag.
    """

    versions: int
    by_language: Mapping[str, int]


def version_pool(view: IndexView) -> VersionPool:
    """Count the versions of the whole pool; the response has one row for each of them, so call it once.

    :raises InputError: if there is no group field, or documents have several groups.
    """
    body = _request(view, view.scoring.pool(), by_version(view), view.by_language())
    answer, buckets = all_buckets(view, [body])[0]
    _check_single(view, answer, buckets)
    counts = Counter(version.language for version in _versions(view, buckets))
    single = answer["aggregations"]["single"]
    counts.update(view.language_counts(single, int(single["doc_count"])))
    return VersionPool(counts.total(), dict(sorted(counts.items())))


def count_version_ranks(
    view: IndexView,
    queries: ArrayLike,
    relevant: Sequence[Sequence[Version]],
    *,
    query_languages: Sequence[str],
    pool: VersionPool | None = None,
    top_language: bool = False,
    batch: int = 16,
    concurrent: int | None = None,
) -> Counted:
    """Exact ranks of relevant versions among all versions of the pool.

    :param view: index with a group field; give it a point in time, or the index may change between the requests.
    :param queries: float [Q, dimension], the queries' vectors.
    :param relevant: relevant versions of each query, those of groups and single documents.
    :param query_languages: normalized language of each query.
    :param pool: from `version_pool`, so that several calls count it once.
    :param top_language: whether to find the language at rank 1.
    :param batch: queries in one request.
    :param concurrent: searches of one request that the server may work on at once; None leaves it to the server.
    :raises InputError: vectors that do not fit, no group field, or documents with several groups or languages.
    :raises ExternalError: the cluster refuses, fails, or gives an incomplete answer.
    """
    vectors = checked_queries(queries, view.fields.vector)
    if not len(vectors) == len(relevant) == len(query_languages):
        raise InputError(
            "vectors, relevant versions and languages must be of the same number",
            field="queries",
            seen=(len(vectors), len(relevant), len(query_languages)),
        )
    pool = pool or version_pool(view)
    unranked: list[Unranked] = []
    builder = TableBuilder(
        [len(versions) for versions in relevant],
        query_languages=query_languages,
        pool_languages=tuple(pool.by_language),
        top_language=top_language,
    )
    for start in range(0, len(vectors), batch):
        part = vectors[start : start + batch]
        wanted = relevant[start : start + batch]
        scores, rows, tops = settled(partial(ranked_versions, view, part, wanted, top_language, concurrent))
        builder.fill(start, rows, tops)
        missing = [
            (number, version)
            for number, versions in enumerate(wanted)
            for version in versions
            if version not in scores[number]
        ]
        unranked += unranked_versions(view, [(start + number, version) for number, version in missing])
    return Counted(builder.table(pool.versions), tuple(unranked))


def unranked_versions(view: IndexView, missing: Sequence[tuple[int, Version]]) -> list[Unranked]:
    """Relevant versions that are not in the pool, and why.

    :param view: index with a group field.
    :param missing: numbers of queries, and their versions.
    """
    reasons = reasons_without_rank(view, {version.group for _, version in missing if version.single})
    return [
        Unranked(query, version.name, reasons[version.group] if version.single else "no such version in the pool")
        for query, version in missing
    ]


def ranked_versions(
    view: IndexView,
    vectors: Sequence[Sequence[float]],
    wanted: Sequence[Sequence[Version]],
    top_language: bool,
    concurrent: int | None,
) -> tuple[list[dict[Version, float]], list[list[RankedVersion | None]], list[Top | None]]:
    """Best scores and ranks of the relevant versions, and the version at rank 1, for some queries.

    :param view: index with a group field.
    :param vectors: as `haystack_crossalign.opensearch.index.scoring.checked_queries` returns them.
    :param wanted: relevant versions of each query.
    :param top_language: whether to find the version at rank 1.
    :param concurrent: searches that the server may work on at once.
    """
    scores = _relevant_scores(view, vectors, wanted, concurrent)
    return scores, *_count(view, vectors, wanted, scores, top_language, concurrent)


def _relevant_scores(
    view: IndexView,
    vectors: Sequence[Sequence[float]],
    wanted: Sequence[Sequence[Version]],
    concurrent: int | None,
) -> list[dict[Version, float]]:
    """Best score of each relevant version in the pool."""
    scores: list[dict[Version, float]] = [{} for _ in wanted]
    groups = [sorted({version.group for version in versions if not version.single}) for versions in wanted]
    active = [number for number, names in enumerate(groups) if names]
    bodies = []
    for number in active:
        query = view.scoring.scored(vectors[number], {"terms": {view.fields.group: groups[number]}})
        bodies.append({"size": 0, "track_total_hits": False, "query": query, "aggs": by_version(view, best=_BEST)})
    for number, (_, buckets) in zip(active, all_buckets(view, bodies, concurrent=concurrent), strict=True):
        best = _best_scores(view, buckets)
        scores[number] = {version: best[version] for version in wanted[number] if version in best}
    singles = [[version.group for version in versions if version.single] for versions in wanted]
    for number, documents in enumerate(relevant_documents(view, vectors, singles, concurrent)):
        best = {
            Version(document.identifier, document.language, single=True): document.score
            for document in documents
            if document is not None
        }
        scores[number] |= {version: best[version] for version in wanted[number] if version in best}
    return scores


def _count(
    view: IndexView,
    vectors: Sequence[Sequence[float]],
    wanted: Sequence[Sequence[Version]],
    scores: Sequence[Mapping[Version, float]],
    top_language: bool,
    concurrent: int | None,
) -> tuple[list[list[RankedVersion | None]], list[Top | None]]:
    active = [number for number, of_query in enumerate(scores) if of_query]
    bodies = []
    for number in active:
        levels = sorted(set(scores[number].values()))
        query = view.scoring.scored(vectors[number], minimum=levels[0])
        more = [{"key": repr(level), "from": next_above(level)} for level in levels]
        same = [{"key": repr(level), "from": level, "to": next_above(level)} for level in levels]
        single = {
            "more": {"range": {"script": _SCORE, "ranges": more}, "aggs": view.by_language()},
            "same": {"range": {"script": _SCORE, "ranges": same}, "aggs": view.by_language()},
            **(view.by_language(best=_BEST) or {"best": _BEST}),
        }
        body = _request(view, query, by_version(view, best=_BEST), single)
        body["aggs"]["same"] = {"range": {"script": _SCORE, "ranges": same}}
        bodies.append(body)
    rows: list[list[RankedVersion | None]] = [[None] * len(versions) for versions in wanted]
    tops: list[Top | None] = [None] * len(wanted)
    for number, (answer, buckets) in zip(active, all_buckets(view, bodies, concurrent=concurrent), strict=True):
        _check_single(view, answer, buckets)
        counted = _OneQuery(view, vectors[number], answer, _best_scores(view, buckets))
        rows[number] = [
            counted.ranked(version, scores[number][version]) if version in scores[number] else None
            for version in wanted[number]
        ]
        if top_language:
            tops[number] = counted.top()
    return rows, tops


class _OneQuery:
    """Best scores of the versions above a query's lowest relevant one, and the ranks that follow from them."""

    def __init__(self, view: IndexView, vector: Sequence[float], answer: Answer, best: Mapping[Version, float]) -> None:
        self.view = view
        self.vector = vector
        self.best = best
        single = answer["aggregations"]["single"]
        self.single = single
        self.single_more = {bucket["key"]: bucket for bucket in single["more"]["buckets"]}
        self.single_same = {bucket["key"]: bucket for bucket in single["same"]["buckets"]}
        self.documents_same = {
            bucket["key"]: int(bucket["doc_count"]) for bucket in answer["aggregations"]["same"]["buckets"]
        }
        self._tied: dict[float, list[tuple[bytes, str, Version]]] = {}

    def ranked(self, version: Version, score: float) -> RankedVersion:
        key = repr(score)
        above = Counter(other.language for other, best in self.best.items() if best > score)
        bucket = self.single_more[key]
        above.update(self.view.language_counts(bucket, int(bucket["doc_count"])))
        higher = dict(above)
        optimistic = above.total() + 1
        bucket = self.single_same[key]
        tied = Counter(other.language for other, best in self.best.items() if best == score)
        tied.update(self.view.language_counts(bucket, int(bucket["doc_count"])))
        # A single document counts among those with its score, but not among the versions of groups.
        if not bucket["doc_count"] if version.single else self.best.get(version) != score:
            raise self._vanished(version)
        tied[version.language] -= 1
        others = tied.total()
        if others:
            entries = self._entries(score)
            own = min((key for key, _, other in entries if other == version), default=None)
            if own is None:
                raise self._vanished(version)
            above.update(language for key, language, _ in self._firsts(entries) if key < own)
        return RankedVersion(
            language=version.language,
            rank=above.total() + 1,
            optimistic=optimistic,
            pessimistic=optimistic + others,
            above=dict(above),
            higher=higher,
            tied=+tied,
        )

    def top(self) -> Top:
        """The version at rank 1, and those that tie with it."""
        heights: dict[str, float] = {}
        for version, best in self.best.items():
            heights[version.language] = max(heights.get(version.language, best), best)
        singles = self._single_heights()
        for tag, height in singles:
            heights[tag] = max(heights.get(tag, height), height)
        highest = max(heights.values())
        languages = [tag for tag, height in heights.items() if height == highest]
        if len(languages) == 1 and all(height < highest for _, height in singles):
            return Top(
                languages[0], Counter(version.language for version, best in self.best.items() if best == highest)
            )
        if not (entries := self._entries(highest)):
            raise self.view.vanished("the document that scores highest")
        firsts = self._firsts(entries)
        return Top(firsts[0][1], Counter(language for _, language, _ in firsts))

    def _vanished(self, version: Version) -> ContradictionError:
        return self.view.vanished(f"version '{version.name}'")

    def _single_heights(self) -> list[tuple[str, float]]:
        """Best score of the documents without a group, by language."""
        if not self.single["doc_count"]:
            return []
        if self.view.fields.language is None:
            return [(self.view.tag(None), float(self.single["best"]["value"]))]
        rows = self.single["languages"]["buckets"]
        return [(self.view.tag(row["key"]), float(row["best"]["value"])) for row in rows]

    def _entries(self, score: float) -> list[tuple[bytes, str, Version]]:
        """Tie key, language and version of the documents with this score that matter: a version whose best document
        scores higher is already ranked above.
        """
        if score not in self._tied:
            most = min(MAX_TIED, self.view.fields.most_hits)
            count = self.documents_same.get(repr(score), most)
            if count > most:
                raise InputError(
                    f"{count} documents have the same score for one query, too many to order",
                    field=self.view.fields.vector.name,
                    allowed=f"up to {most}",
                )
            body = {
                "size": count,
                "track_total_hits": False,
                "query": self.view.scoring.scored(self.vector, minimum=score),
                "sort": [{"_score": "asc"}],
                **self.view.hit_fields(),
            }
            entries = []
            for hit in self.view.client.search(body, self.view.target)["hits"]["hits"]:
                name = self.view.names.of(hit)
                version = Version.of(name, self.view.hit_language(hit), self.view.hit_group(hit))
                if exact_double(hit["sort"][0]) == score and (version.single or self.best.get(version) == score):
                    entries.append((self.view.names.tie_key(name), version.language, version))
            self._tied[score] = entries
        return self._tied[score]

    @staticmethod
    def _firsts(entries: Sequence[tuple[bytes, str, Version]]) -> list[tuple[bytes, str, Version]]:
        """The first document of each version."""
        firsts: dict[Version, tuple[bytes, str, Version]] = {}
        for entry in sorted(entries, key=lambda entry: entry[0]):
            firsts.setdefault(entry[2], entry)
        return list(firsts.values())


def _request(view: IndexView, query: Mapping[str, Any], versions: Mapping[str, Any], single: Mapping[str, Any]) -> Any:
    """Size-0 request with the aggregation `versions` over documents with a group and `single` over those without."""
    if view.fields.group is None:
        raise InputError("ranks of versions need the field that holds the parallel group", field="group")
    no_group: dict[str, Any] = {"filter": without_group(view)}
    if single:
        no_group["aggs"] = dict(single)
    return {"size": 0, "track_total_hits": True, "query": query, "aggs": {**versions, "single": no_group}}


def _versions(view: IndexView, buckets: Sequence[Answer]) -> set[Version]:
    return {_version(view, row) for row in buckets}


def _version(view: IndexView, row: Answer) -> Version:
    return Version(str(row["key"]["group"]), view.tag(row["key"].get("language")))


def _best_scores(view: IndexView, buckets: Sequence[Answer]) -> dict[Version, float]:
    """Best score of each version; several values of the language field may stand for one language."""
    best: dict[Version, float] = {}
    for row in buckets:
        version = _version(view, row)
        score = float(row["best"]["value"])
        best[version] = max(best.get(version, score), score)
    return best


def _check_single(view: IndexView, answer: Answer, buckets: Sequence[Answer]) -> None:
    """Check that every document was counted once: documents with several groups or languages would count twice."""
    counted = sum(int(row["doc_count"]) for row in buckets) + int(answer["aggregations"]["single"]["doc_count"])
    total = int(answer["hits"]["total"]["value"])
    if counted != total:
        raise InputError(
            "some documents have several groups; each may have one",
            field=view.fields.group,
            seen=f"{counted} values in {total} documents",
        )
