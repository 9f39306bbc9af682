"""Score of a repair on held-out parallel passages: bias in the mixed pool, quality per language, harm."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from haystack_crossalign.errors import InputError
from haystack_crossalign.measures import parse_measure
from haystack_crossalign.ranks import DEFAULT_SIMILARITY, RankTable, Similarity, exact_ranks, tie_order
from haystack_crossalign.repair.matrix_file import VectorMap
from haystack_crossalign.repair.trials import RepairScore

_TOP = 10
"""Depth of Complete@10."""


@dataclass(frozen=True)
class HeldOut:
    """Held-out embeddings; a query's relevant documents are all documents of its group.

    :param queries: float32 ``[Q, dim]``.
    :param query_languages: tag of each query.
    :param query_groups: parallel group of each query.
    :param documents: float32 ``[N, dim]``.
    :param document_languages: tag of each document.
    :param document_groups: parallel group of each document; one document per group and language.
    :param similarity: similarity by which embeddings are ranked, before and after a repair.
    """

    queries: NDArray[np.float32]
    query_languages: Sequence[str]
    query_groups: Sequence[str]
    documents: NDArray[np.float32]
    document_languages: Sequence[str]
    document_groups: Sequence[str]
    similarity: Similarity = DEFAULT_SIMILARITY


def held_out_score(data: HeldOut) -> Callable[[VectorMap], RepairScore]:
    """Make the score function for :func:`~haystack_crossalign.repair.directions.choose_repair`.

    Bias: mean Max@R in the pool of all languages, the mean over the query languages. Quality: mean NDCG@1 of each query
    language in the pool of its own language (Mono-Same). Own language first: share of the queries of each language with
    a relevant document in their language at rank 1 of the mixed pool. Complete: Complete@10 in the mixed pool.

    :param data: held-out embeddings, before any repair.
    :raises InputError: if a query's group has no document in its own language, or lengths differ.
    """
    tags = tuple(sorted({*data.document_languages, *data.query_languages}))
    query_codes = _codes(data.query_languages, tags, len(data.queries), "query_languages")
    document_codes = _codes(data.document_languages, tags, len(data.documents), "document_languages")
    relevant, own = _relevant(data, query_codes, document_codes)
    codes = sorted({int(code) for code in query_codes})
    order = tie_order(
        [f"{tag}:{group}" for tag, group in zip(data.document_languages, data.document_groups, strict=True)]
    )
    max_at_r, ndcg = parse_measure("Max@R"), parse_measure("NDCG@1")

    def score(repair: VectorMap) -> RepairScore:
        queries, documents = repair.apply(data.queries), repair.apply(data.documents)

        def ranked(rows: NDArray[np.bool_], pool: NDArray[np.bool_], wanted: NDArray[np.int32]) -> RankTable:
            # Positions in the part of the pool that is searched; -1 stays -1.
            places = np.append(np.cumsum(pool) - 1, -1).astype(np.int32)
            return exact_ranks(
                queries[rows],
                documents[pool],
                document_languages=document_codes[pool],
                languages=tags,
                query_languages=query_codes[rows],
                relevant=places[wanted[rows]],
                tie_order=order[pool],
                similarity=data.similarity,
            )

        depths, quality, own_first, complete = [], {}, {}, {}
        for code in codes:
            rows = query_codes == code
            everything = np.ones(len(documents), dtype=bool)
            mixed = ranked(rows, everything, relevant)
            deepest = max_at_r.per_query(mixed).values
            depths.append(float(deepest.mean()))
            complete[tags[code]] = float((deepest <= _TOP).mean())
            # Top1[relevant,same], without the pass that finds the language of other documents at rank 1.
            leads = (mixed.ranks == 1) & (mixed.relevant_languages == code)
            own_first[tags[code]] = float(leads.any(axis=1).mean())
            same = ranked(rows, document_codes == code, own[:, None])
            quality[tags[code]] = float(ndcg.per_query(same).values.mean())
        known = complete if relevant.shape[1] <= _TOP else None
        return RepairScore(bias=float(np.mean(depths)), quality=quality, own_first=own_first, complete=known)

    return score


def pair_depths(data: HeldOut, languages: tuple[str, str], repair: VectorMap | None) -> NDArray[np.float64]:
    """Max@R of each query in two languages, in the pool of both: float64 ``[n]``, the same queries for every map.

    :param data: held-out embeddings, before any repair.
    :param languages: the two tags.
    :param repair: the map; None for the vectors as they are.
    """
    rows = [row for row, tag in enumerate(data.query_languages) if tag in languages]
    kept = [row for row, tag in enumerate(data.document_languages) if tag in languages]
    queries, documents = data.queries[rows], data.documents[kept]
    if repair is not None:
        queries, documents = repair.apply(queries), repair.apply(documents)
    tags, groups = [data.document_languages[row] for row in kept], [data.document_groups[row] for row in kept]
    members: dict[str, list[int]] = {}
    for row, group in enumerate(groups):
        members.setdefault(group, []).append(row)
    wanted = np.full((len(rows), 2), -1, dtype=np.int32)
    for place, row in enumerate(rows):
        versions = members[data.query_groups[row]]
        wanted[place, : len(versions)] = versions
    table = exact_ranks(
        queries,
        documents,
        document_languages=_codes(tags, languages, len(kept), "document_languages"),
        languages=languages,
        query_languages=_codes([data.query_languages[row] for row in rows], languages, len(rows), "query_languages"),
        relevant=wanted,
        tie_order=tie_order([f"{tag}:{group}" for tag, group in zip(tags, groups, strict=True)]),
        similarity=data.similarity,
    )
    return np.asarray(parse_measure("Max@R").per_query(table).values, dtype=np.float64)


def _codes(languages: Sequence[str], tags: Sequence[str], rows: int, field: str) -> NDArray[np.int32]:
    if len(languages) != rows:
        raise InputError(
            "one language is needed for each embedding", field=field, seen=len(languages), allowed=str(rows)
        )
    return np.asarray([tags.index(tag) for tag in languages], dtype=np.int32)


def _relevant(
    data: HeldOut, query_codes: NDArray[np.int32], document_codes: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Documents of each query's group, padded with -1, and the document of the group in the query's language."""
    if len(data.query_groups) != len(query_codes) or len(data.document_groups) != len(document_codes):
        raise InputError("one group is needed for each embedding", field="groups")
    members: dict[str, list[int]] = {}
    for document, group in enumerate(data.document_groups):
        members.setdefault(group, []).append(document)
    relevant = np.full((len(query_codes), max(map(len, members.values()), default=0)), -1, dtype=np.int32)
    own = np.full(len(query_codes), -1, dtype=np.int32)
    for query, group in enumerate(data.query_groups):
        versions = members.get(group, [])
        relevant[query, : len(versions)] = versions
        same = [document for document in versions if document_codes[document] == query_codes[query]]
        if len(same) != 1:
            raise InputError(
                "a held-out query needs one document of its group in its own language",
                field="query_groups",
                seen=f"{len(same)} for group {group}, language {data.query_languages[query]}",
            )
        own[query] = same[0]
    return relevant, own


_Z = 1.959963984540054
"""97.5 % point of the standard normal distribution."""


@dataclass(frozen=True)
class LanguageHarm:
    """Same-language NDCG@1 of one language, before and after.

    :param language: normalized tag.
    :param queries: held-out queries.
    :param before: mean NDCG@1 before, 0 to 1.
    :param after: mean NDCG@1 after.
    :param interval: 95 % interval of the difference after - before.
    :param verdict: ``harmless`` if the interval rules out a loss beyond the tolerance, ``harmful`` if the loss is
        beyond the tolerance and the interval rules out that there is none, ``not ruled out`` otherwise.
    """

    language: str
    queries: int
    before: float
    after: float
    interval: tuple[float, float]
    verdict: str

    @property
    def difference(self) -> float:
        """after - before."""
        return self.after - self.before

    def beyond(self, tolerance: float) -> bool:
        """Whether the loss itself is beyond a tolerance, be it chance or not.

        :param tolerance: loss that counts as none.
        """
        return self.after < self.before - tolerance - 1e-9


def paired_share_interval(before: ArrayLike, after: ArrayLike) -> tuple[float, float]:
    """95 % interval of the difference of two paired shares.

    Wald's interval after adding half an observation to each cell of the table of pairs: with ``b`` pairs lost, ``c``
    won, ``n`` in all, ``d = (c - b) / (n + 2)`` and ``d +- 1.96 * sqrt((b + c + 1) - (c - b)^2 / (n + 2)) / (n + 2)``.
    Unlike a bootstrap interval it has a width even if no pair differs, which small samples need. Source: Agresti and
    Min, "Simple improved confidence intervals for comparing matched proportions", Statistics in Medicine 24 (2005).

    :param before: ``[n]``, each 0 or 1.
    :param after: ``[n]``, of the same queries.
    :raises InputError: for other values, other lengths, or none.
    """
    first, second = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 1 or not len(first):
        raise InputError("the pairs must be of one length", field="after", seen=(first.shape, second.shape))
    if not (np.isin(first, (0, 1)).all() and np.isin(second, (0, 1)).all()):
        raise InputError("the values must be 0 or 1", field="before, after")
    lost, won, total = float((first > second).sum()), float((second > first).sum()), len(first) + 2.0
    middle = (won - lost) / total
    width = _Z * math.sqrt(lost + won + 1 - (won - lost) ** 2 / total) / total
    return max(-1.0, middle - width), min(1.0, middle + width)


def queries_needed(tolerance: float) -> float:
    """Number of queries that a language needs so that `paired_share_interval` can rule out a loss beyond ``tolerance``.

    With this number, the interval around no change just reaches the tolerance: ``1.96 / tolerance - 2``.

    :param tolerance: loss of NDCG@1 that counts as harmless; for 0 no number of queries suffices.
    """
    return math.inf if tolerance <= 0 else math.ceil(_Z / tolerance - 2)


def harm_of_language(
    language: str, before: Sequence[float], after: Sequence[float], *, tolerance: float
) -> LanguageHarm:
    """Judge a language.

    :param language: normalized tag.
    :param before: NDCG@1 of each query, 0 or 1, since each has one relevant document in its language.
    :param after: likewise, after the repair.
    :param tolerance: loss that counts as none.
    """
    interval = paired_share_interval(before, after)
    means = float(np.mean(before)), float(np.mean(after))
    harm = LanguageHarm(language, len(before), *means, interval, "not ruled out")
    if harm.beyond(tolerance):
        return replace(harm, verdict="harmful") if interval[1] < 0 else harm
    return replace(harm, verdict="harmless") if interval[0] >= -tolerance else harm
