"""Keyword search and nearest neighbors in one list: fused as in Haystack, or by the server's hybrid search."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from haystack_crossalign.errors import InputError
from haystack_crossalign.opensearch.connection.failures import RefusedRequestError
from haystack_crossalign.opensearch.connection.point_in_time import PointInTime
from haystack_crossalign.opensearch.index.pool import IndexView
from haystack_crossalign.opensearch.index.scoring import checked_queries
from haystack_crossalign.opensearch.live.hits import Hit, checked_depth
from haystack_crossalign.opensearch.live.lists import Bm25Retrieval, KnnRetrieval, search_lists

Fusion = Literal["rrf", "minmax"]
"""Reciprocal rank fusion, or the mean of scores brought to 0..1."""

_RRF = 61
"""Constant of the fusion for places counted from 0: the 60 of Cormack et al. (2009) for those counted from 1."""

_LEAST = 0.001
"""What the server's normalization gives to the lowest score instead of 0, which would mean that nothing matched."""

_PROCESSORS: dict[Fusion, dict[str, Any]] = {
    "rrf": {"score-ranker-processor": {"combination": {"technique": "rrf"}}},
    "minmax": {
        "normalization-processor": {
            "normalization": {"technique": "min_max"},
            "combination": {"technique": "arithmetic_mean"},
        }
    },
}
_TOLD: dict[Fusion, str] = {"rrf": "reciprocal_rank_fusion", "minmax": "min_max, arithmetic_mean"}


class HybridRetrieval:
    """Both lists fused by the client and cut at the depth, by reciprocal ranks as in Haystack's ``DocumentJoiner``.

    Both lists are requested with the same depth. If the fused list is shorter, both of its parts have ended.

    :param knn: nearest neighbors.
    :param bm25: keyword search.
    :param fusion: how the two become one list.
    """

    needs_vectors = True
    notes = ()

    def __init__(self, knn: KnnRetrieval, bm25: Bm25Retrieval, fusion: Fusion = "rrf") -> None:
        self.name = f"hybrid:{fusion}"
        self._parts = (bm25, knn)
        self._fusion = fusion
        self._fuse: Callable[[Sequence[Sequence[Hit]]], list[Hit]] = {"rrf": fuse, "minmax": fuse_min_max}[fusion]

    def retrieve(
        self,
        texts: Sequence[str],
        vectors: NDArray[np.float32] | None,
        depth: int,
        target: str | PointInTime,
        *,
        languages: Sequence[str] = (),
    ) -> list[list[Hit]]:
        """Result lists, see `haystack_crossalign.opensearch.live.lists.Retrieval`.

        :raises InputError: as from the two parts.
        :raises ExternalError: the cluster refuses, fails, or gives an incomplete answer.
        """
        parts = [part.retrieve(texts, vectors, depth, target, languages=languages) for part in self._parts]
        return [self._fuse(lists)[:depth] for lists in zip(*parts, strict=True)]

    def asked_depth(self, depth: int) -> int | None:
        """The depth."""
        return depth

    def provenance(self) -> dict[str, Any]:
        """Name, fusion, and the provenance of both parts."""
        return {
            "name": self.name,
            "fusion": _TOLD[self._fusion],
            "parts": [part.provenance() for part in self._parts],
        }


class NativeHybridRetrieval:
    """The server's own ``hybrid`` query of both, fused by a search pipeline that comes with each search.

    The server fuses what each shard returns for each part, up to the depth, so the list for a depth of 10 is not a
    prefix of that for 100.

    :param view: index, its fields and the user's filter.
    :param knn: nearest neighbors.
    :param bm25: keyword search.
    :param fusion: kind of fusion.
    :param batch: queries in one request.
    :param concurrent: searches of one request that the server may work on at once; None leaves it to the server.
    """

    needs_vectors = True
    notes = ()

    def __init__(
        self,
        view: IndexView,
        knn: KnnRetrieval,
        bm25: Bm25Retrieval,
        fusion: Fusion = "rrf",
        *,
        batch: int = 16,
        concurrent: int | None = None,
    ) -> None:
        self.name = f"hybrid:native-{fusion}"
        self._view, self._knn, self._bm25 = view, knn, bm25
        self._fusion = fusion
        self._pipeline = {"phase_results_processors": [_PROCESSORS[fusion]]}
        self._limits = (batch, concurrent)

    def retrieve(
        self,
        texts: Sequence[str],
        vectors: NDArray[np.float32] | None,
        depth: int,
        target: str | PointInTime,
        *,
        languages: Sequence[str] = (),  # noqa: ARG002  the protocol's
    ) -> list[list[Hit]]:
        """Result lists, see `haystack_crossalign.opensearch.live.lists.Retrieval`.

        :raises InputError: no vectors, vectors that do not fit the field, a depth that servers refuse, or a cluster
            without hybrid search.
        :raises ExternalError: the cluster fails, or gives an incomplete answer.
        """
        checked_depth(depth, self._view.fields.most_hits)
        if vectors is None or len(vectors) != len(texts):
            raise InputError(
                "the queries need a vector each", field="vectors", seen=None if vectors is None else len(vectors)
            )
        asked = checked_queries(vectors, self._view.fields.vector)

        def search(row: int) -> dict[str, Any]:
            parts = [self._bm25.query(texts[row]), self._knn.query(asked[row], depth)]
            return {"query": {"hybrid": {"queries": parts}}, "search_pipeline": self._pipeline}

        try:
            return search_lists(self._view, search, len(texts), depth, target, *self._limits)
        except RefusedRequestError as error:
            raise InputError(
                f"the cluster does not search like this: {error}",
                source="--live",
                seen=self.name,
                allowed="a cluster with the neural-search plugin (2.10 or later; native-rrf 2.19 or later)",
            ) from None

    def asked_depth(self, depth: int) -> int | None:
        """The depth."""
        return depth

    def provenance(self) -> dict[str, Any]:
        """Name, fusion, search pipeline, and the provenance of both parts."""
        return {
            "name": self.name,
            "fusion": _TOLD[self._fusion],
            "search_pipeline": self._pipeline,
            "parts": [self._bm25.provenance(), self._knn.provenance()],
        }


def fuse(lists: Sequence[Sequence[Hit]]) -> list[Hit]:
    """Reciprocal rank fusion with equal weights, numerically equal to that of Haystack's ``DocumentJoiner``.

    A document's score is the mean over the L lists of 61 / (61 + i), with its position i in the list counted from 0, or
    0 if the list lacks it: 1 for a document that leads all lists. Documents of equal score keep the order in which the
    lists first name them. Source: Cormack, Clarke and Büttcher, SIGIR 2009.

    :param lists: result lists of one query, best first.
    """
    scores: dict[str, float] = {}
    hits: dict[str, Hit] = {}
    # As written there, so that rounding gives the same ties.
    weight = 1 / len(lists) if lists else 0.0
    for hit_list in lists:
        for place, hit in enumerate(hit_list):
            scores[hit.id] = scores.get(hit.id, 0) + (weight * len(lists)) / (_RRF + place)
            hits.setdefault(hit.id, hit)
    fused = [hit._replace(score=scores[name] / (len(lists) / _RRF)) for name, hit in hits.items()]
    return sorted(fused, key=lambda hit: hit.score, reverse=True)


def fuse_min_max(lists: Sequence[Sequence[Hit]]) -> list[Hit]:
    """The mean of the scores of the lists, scaled to 0..1, as in OpenSearch's normalization processor by default.

    A document's part in a list is (s - min) / (max - min) over the scores of the list, 0.001 instead of 0, 1 where all
    scores are equal, and 0 if the list lacks it; its score is the mean of its parts over the L lists. Documents of
    equal score keep the order in which the lists first name them.

    :param lists: result lists of one query, best first, with scores.
    """
    scores: dict[str, float] = {}
    hits: dict[str, Hit] = {}
    for hit_list in lists:
        low = min((hit.score for hit in hit_list), default=0.0)
        high = max((hit.score for hit in hit_list), default=0.0)
        for hit in hit_list:
            part = 1.0 if high == low else (hit.score - low) / (high - low) or _LEAST
            scores[hit.id] = scores.get(hit.id, 0.0) + part
            hits.setdefault(hit.id, hit)
    fused = [hit._replace(score=scores[name] / len(lists)) for name, hit in hits.items()]
    return sorted(fused, key=lambda hit: hit.score, reverse=True)
