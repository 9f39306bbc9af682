"""Score of a repair on held-out parallel passages: the bias in the mixed pool, the quality in each language."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from haystack_crossalign.errors import InputError
from haystack_crossalign.measures import parse_measure
from haystack_crossalign.ranks.exact import exact_ranks
from haystack_crossalign.ranks.table import RankTable
from haystack_crossalign.repair.directions import RepairScore
from haystack_crossalign.repair.matrix_file import VectorMap

__all__ = ["HeldOut", "held_out_score"]


@dataclass(frozen=True)
class HeldOut:
    """Held-out embeddings; a query's relevant documents are all documents of its group.

    :param queries: float32 ``[Q, dim]``.
    :param query_languages: tag of each query.
    :param query_groups: parallel group of each query.
    :param documents: float32 ``[N, dim]``.
    :param document_languages: tag of each document.
    :param document_groups: parallel group of each document; one document per group and language.
    """

    queries: NDArray[np.float32]
    query_languages: Sequence[str]
    query_groups: Sequence[str]
    documents: NDArray[np.float32]
    document_languages: Sequence[str]
    document_groups: Sequence[str]


def held_out_score(data: HeldOut) -> Callable[[VectorMap], RepairScore]:
    """Make the score that :func:`~haystack_crossalign.repair.directions.choose_repair` takes.

    Bias: mean Max@R in the pool of all languages, the mean over the query languages. Quality: mean NDCG@1 of each query
    language in the pool of its own language (Mono-Same).

    :param data: held-out embeddings, before any repair.
    :raises InputError: when a query's group has no document in its own language, or lengths do not fit.
    """
    tags = tuple(sorted({*data.document_languages, *data.query_languages}))
    query_codes = _codes(data.query_languages, tags, len(data.queries), "query_languages")
    document_codes = _codes(data.document_languages, tags, len(data.documents), "document_languages")
    relevant, own = _relevant(data, query_codes, document_codes)
    asked = sorted({int(code) for code in query_codes})
    max_at_r, ndcg = parse_measure("Max@R"), parse_measure("NDCG@1")

    def score(repair: VectorMap) -> RepairScore:
        queries, documents = repair.apply(data.queries), repair.apply(data.documents)

        def ranked(rows: NDArray[np.bool_], pool: NDArray[np.bool_], wanted: NDArray[np.int32]) -> RankTable:
            # Places in the part of the pool that is searched; -1 stays -1.
            places = np.append(np.cumsum(pool) - 1, -1).astype(np.int32)
            return exact_ranks(
                queries[rows],
                documents[pool],
                document_languages=document_codes[pool],
                languages=tags,
                query_languages=query_codes[rows],
                relevant=places[wanted[rows]],
                id_order=np.arange(int(pool.sum()), dtype=np.int64),
            )

        depths, quality = [], {}
        for code in asked:
            rows = query_codes == code
            everything = np.ones(len(documents), dtype=bool)
            depths.append(float(max_at_r.per_query(ranked(rows, everything, relevant)).values.mean()))
            same = ranked(rows, document_codes == code, own[:, None])
            quality[tags[code]] = float(ndcg.per_query(same).values.mean())
        return RepairScore(bias=float(np.mean(depths)), quality=quality)

    return score


def _codes(languages: Sequence[str], tags: Sequence[str], rows: int, field: str) -> NDArray[np.int32]:
    if len(languages) != rows:
        raise InputError(
            "one language is needed for each embedding", field=field, seen=len(languages), allowed=str(rows)
        )
    return np.asarray([tags.index(tag) for tag in languages], dtype=np.int32)


def _relevant(
    data: HeldOut, query_codes: NDArray[np.int32], document_codes: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Documents of each query's group, padded with -1, and the one among them in the query's language."""
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
