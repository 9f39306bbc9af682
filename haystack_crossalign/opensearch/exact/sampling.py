"""Estimate ranks from a random sample of a pool that is too big to be scored completely for every query.

Every non-relevant document is drawn with probability p, separately for each query. With k sampled documents above a
relevant one, the Horvitz-Thompson estimate of the number above it is k / p, which is unbiased; relevant documents are
always scored, so their order is exact:

    rank = 1 + (relevant documents above) + k / p

Which relevant document is the lowest is therefore known, and the mean of Max@R over queries is unbiased too. Measures
that are not linear in the rank (Max@R_norm, Complete@K) are biased by the noise of the estimate: they are approximate.
The interval of one rank is the score (Wilson) interval of a binomial count: with m = p * (number above), all m with
|k - m| <= z * sqrt(m * (1 - p)).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from haystack_crossalign.errors import InputError
from haystack_crossalign.opensearch.exact.counting import CountingBatch
from haystack_crossalign.opensearch.exact.ranked import Unranked, code_of
from haystack_crossalign.opensearch.index.pool import IndexView
from haystack_crossalign.opensearch.index.scoring import Query, checked_queries


@dataclass(frozen=True, eq=False)
class SampledRanks:
    """Estimated ranks; NaN if a relevant document is absent or not in the pool.

    :param languages: languages of the pool, sorted; the last axis of `above`.
    :param relevant_languages: int32 [Q, R], index into `languages`, -1 if absent.
    :param ranks: float64 [Q, R], unbiased estimates.
    :param low: float64 [Q, R], lower ends of the intervals.
    :param high: float64 [Q, R], upper ends.
    :param above: float64 [Q, R, L], estimated documents of each language above, relevant ones included.
    :param pool_size: documents in the pool.
    :param probability: the share of the pool that was scored.
    :param unranked: relevant documents that are not in the pool.
    """

    languages: tuple[str, ...]
    relevant_languages: NDArray[np.int32]
    ranks: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    above: NDArray[np.float64]
    pool_size: int
    probability: float
    unranked: tuple[Unranked, ...]


def estimate_ranks(
    view: IndexView,
    queries: ArrayLike,
    relevant: Sequence[Sequence[str]],
    *,
    probability: float,
    seed: int = 0,
    first_query: int = 0,
    confidence: float = 0.95,
    batch: int = 16,
    concurrent: int | None = None,
) -> SampledRanks:
    """Ranks of relevant documents, estimated from a random sample for each query.

    :param view: index, fields and filter, best at a point in time.
    :param queries: float [Q, dimension].
    :param relevant: ids of each query's relevant documents.
    :param probability: share of the pool that is scored, greater than 0 and less than 1.
    :param seed: the same seed draws the same samples, as long as the index does not change.
    :param first_query: number of the first query, where the queries come in several calls.
    :param confidence: of the interval of each rank.
    :param batch: queries in one request.
    :param concurrent: searches of one request that the server may work on at once.
    :raises InputError: a probability outside of (0, 1), or vectors that do not fit.
    """
    if not 0.0 < probability < 1.0:
        raise InputError(
            "not a share of the pool", field="sample", seen=probability, allowed="more than 0, less than 1"
        )
    vectors = checked_queries(queries, view.fields.vector)
    if len(vectors) != len(relevant):
        raise InputError("one list of relevant documents for each query", field="relevant", seen=len(relevant))
    languages = tuple(view.pool().by_language)
    shape = (len(vectors), max((len(row) for row in relevant), default=0))
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    result = SampledRanks(
        languages=languages,
        relevant_languages=np.full(shape, -1, dtype=np.int32),
        ranks=np.full(shape, np.nan),
        low=np.full(shape, np.nan),
        high=np.full(shape, np.nan),
        above=np.full((*shape, len(languages)), np.nan),
        pool_size=view.pool().documents,
        probability=probability,
        unranked=(),
    )
    unranked: list[Unranked] = []
    for start in range(0, len(vectors), batch):
        part = slice(start, start + batch)
        sampled = _SampledBatch(view, vectors[part], relevant[part], concurrent)
        sampled.probability, sampled.seed = probability, seed + first_query + start
        sampled.count(top_language=False)
        for row in range(len(sampled.found)):
            _fill(result, start + row, sampled, row, z)
        unranked += [Unranked(start + query, name, reason) for query, name, reason in sampled.unranked()]
    return SampledRanks(**{**vars(result), "unranked": tuple(unranked)})


class _SampledBatch(CountingBatch):
    """Counts in a sample that holds none of the relevant documents."""

    counts_itself = False
    probability: float
    seed: int

    def conditions(self, query: int) -> list[Query]:
        relevant = self.view.names.query(self.wanted[query])
        # As a filter this only selects documents; hashing a sequence number is cheap compared with scoring.
        drawn = {
            "function_score": {
                "query": {"match_all": {}},
                "random_score": {"seed": self.seed + query, "field": "_seq_no"},
                "boost_mode": "replace",
                "min_score": 1.0 - self.probability,
            }
        }
        return [drawn, {"bool": {"must_not": [relevant]}}]


def _fill(result: SampledRanks, query: int, batch: _SampledBatch, row: int, z: float) -> None:
    """Turn the counts of one query into estimates."""
    probability, code = batch.probability, {tag: number for number, tag in enumerate(result.languages)}
    tie_key = batch.view.names.tie_key
    for column, document in enumerate(batch.found[row]):
        version = batch.ranked[row][column]
        if document is None or version is None:
            continue
        above = np.zeros(len(result.languages))
        for other in batch.found[row]:
            if other is not None and (-other.score, tie_key(other.identifier)) < (
                -document.score,
                tie_key(document.identifier),
            ):
                above[code_of(code, other.language)] += 1
        relevant_above = float(above.sum())
        for tag, count in version.above.items():
            above[code_of(code, tag)] += count / probability
        count = version.rank - 1
        spread = z * np.sqrt(count * (1 - probability) + (z * (1 - probability) / 2) ** 2)
        middle = count + z**2 * (1 - probability) / 2
        others = result.pool_size - sum(document is not None for document in batch.found[row])
        result.relevant_languages[query, column] = code_of(code, document.language)
        result.above[query, column] = above
        result.ranks[query, column] = 1 + relevant_above + count / probability
        result.low[query, column] = 1 + relevant_above + min(max(count, (middle - spread) / probability), others)
        result.high[query, column] = 1 + relevant_above + min((middle + spread) / probability, others)
