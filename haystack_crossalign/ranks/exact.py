"""Exact ranks over a whole pool: a rank is a count, so nothing is sorted and no full score matrix exists."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from haystack_crossalign.errors import InputError
from haystack_crossalign.ranks.arguments import integer_column, language_codes, relevant_versions
from haystack_crossalign.ranks.blocks import Band, cut_pool
from haystack_crossalign.ranks.bounds import QueryOperand, center_of
from haystack_crossalign.ranks.counting import Counter, Counts, Targets
from haystack_crossalign.ranks.distances import DistanceScorer, count_by_distance, import_for, is_distance
from haystack_crossalign.ranks.formats import Float32, Format, format_of
from haystack_crossalign.ranks.int8 import Int8Counter, counts_by_int8
from haystack_crossalign.ranks.scores import LengthCheck, PairScorer, comparable_vectors
from haystack_crossalign.ranks.similarity import DEFAULT_SIMILARITY, Similarity
from haystack_crossalign.ranks.table import ABSENT, RankTable
from haystack_crossalign.ranks.topk import exact_top_k
from haystack_crossalign.ranks.workers import one_core_each, share_out

_GROUP = 8192  # queries counted in one pass over the pool
_SAMPLE = 256  # documents sampled to find out which queries have their relevant versions far down


def exact_ranks(
    queries: ArrayLike,
    documents: ArrayLike,
    *,
    document_languages: ArrayLike,
    languages: tuple[str, ...],
    query_languages: ArrayLike,
    relevant: ArrayLike,
    tie_order: ArrayLike,
    versions: ArrayLike | None = None,
    similarity: Similarity = DEFAULT_SIMILARITY,
    precision: str = "auto",
    top_language: bool = False,
) -> RankTable:
    """Rank the relevant versions of every query in the whole pool.

    The score of a pair is, by similarity:

    - ``dot``: float32(float64 dot product of the float32 vectors);
    - ``cosine``: the same of both vectors at unit length, see `unit_rows`. Vectors of unit length rank as with ``dot``;
    - ``euclidean``, ``manhattan``: -float32(float64 distance of the float32 vectors), see `DistanceScorer`.

    The score of a version is that of its best document. rank = 1 + versions with a greater score + versions with an
    equal score that are earlier in the tie order. A fast product (8-bit digits, bf16 or float32, depending on the
    machine) decides every pair whose result is further from a threshold than its error bound; the others are scored
    exactly, and with a distance all are. So the result does not depend on precision, threads or block size.

    :param queries: float32 [Q, dim].
    :param documents: float32 [N, dim].
    :param document_languages: int [N], code of each document's language, an index into `languages`.
    :param languages: tags of the L languages.
    :param query_languages: int [Q], code of each query's language.
    :param relevant: int [Q, R], relevant versions of each query (document indices if `versions` is None), padded with
        -1; a row of only -1 has only absent ranks.
    :param tie_order: int [N], position of each document in the tie order, see
        `haystack_crossalign.ranks.ties.tie_order`; all different.
    :param versions: int [N], version of each document, 0 to V - 1, or None if each document is its own version. All
        documents of a version have the same language.
    :param similarity: what the score is.
    :param precision: ``"auto"``, ``"int8"``, ``"bf16"`` or ``"fp32"``, of the fast product only.
    :param top_language: whether to find the language at rank 1, which takes another pass unless every query has a
        relevant version there.
    :raises InputError: for vectors that are zero or not finite, and for arrays whose shapes do not match.
    """
    query_vectors, document_vectors = comparable_vectors(queries, documents, similarity, unchecked_documents=True)
    pool = PoolArrays(document_vectors, document_languages, languages, tie_order, versions)
    query_codes = language_codes(query_languages, len(query_vectors), len(languages), "query_languages")
    versions_wanted = relevant_versions(relevant, len(query_vectors), pool.version_languages)
    import_for(similarity)
    product = Product.chosen(precision, query_vectors, document_vectors, versions_wanted.shape[1])

    def count(lengths: LengthCheck | None) -> list[Counts]:
        counted = []
        with one_core_each() as threads:
            for start in range(0, len(query_vectors), _GROUP):
                part = slice(start, start + _GROUP)
                group = query_vectors[part], versions_wanted[part], pool, len(languages), similarity, product, threads
                counted.append(count_against(*group, lengths=lengths))
                if lengths is not None and not lengths.covers(len(pool.vectors)):
                    break
                lengths = None
        return counted

    lengths = LengthCheck(document_vectors, similarity)
    counted = []
    if lengths.hold and product.counter.measures_lengths and not pool.chunked and not is_distance(similarity):
        with np.errstate(all="ignore"):  # the documents may hold anything
            counted = count(lengths)
    if not lengths.covers(len(document_vectors)):
        pool.vectors = comparable_vectors(query_vectors, document_vectors, similarity)[1]
        counted = count(None)
    greater, ahead, tied = (
        np.concatenate([getattr(counts, name) for counts in counted], axis=2) for name in ("greater", "ahead", "tied")
    )
    exists = versions_wanted >= 0

    def marked(ranks: NDArray[np.int64]) -> NDArray[np.int32]:
        return np.where(exists, ranks.T, ABSENT).astype(np.int32)

    best = 1 + greater.sum(axis=0)
    ranks = marked(best + ahead.sum(axis=0))
    relevant_languages = np.where(exists, pool.version_languages[np.maximum(versions_wanted, 0)], -1).astype(np.int32)

    def by_language(counts: NDArray[np.int64]) -> NDArray[np.int32]:
        return np.where(exists[:, :, None], counts.transpose(2, 1, 0), 0).astype(np.int32)

    has_ties = bool(tied.any())
    tied_versions = by_language(tied) if has_ties else None
    top, top_versions = None, None
    if top_language:
        search = _TopSearch(query_vectors, pool, len(languages), similarity, precision)
        top, top_versions = search.run(ranks, relevant_languages, tied_versions)
    return RankTable(
        languages=tuple(languages),
        query_languages=query_codes,
        relevant_languages=relevant_languages,
        ranks=ranks,
        optimistic=marked(best),
        pessimistic=marked(best + tied.sum(axis=0)),
        above=by_language(greater + ahead),
        pool_languages=tuple(np.flatnonzero(np.bincount(pool.languages)).tolist()),
        pool_size=int(np.count_nonzero(pool.version_languages >= 0)),
        top_language=top,
        top_versions=top_versions,
        higher=by_language(greater) if has_ties else None,
        tied=tied_versions,
    )


@dataclass(frozen=True)
class Product:
    """Kind of fast product that decides most pairs."""

    counter: type[Counter]
    form: Format

    @classmethod
    def chosen(
        cls, precision: str, queries: NDArray[np.float32], documents: NDArray[np.float32], targets: int
    ) -> Product:
        """The product with the requested precision; for ``"auto"`` the fastest on this machine."""
        dim = queries.shape[1]
        possible = counts_by_int8(dim, targets)
        if precision == "int8" and not possible:
            raise InputError(
                "8-bit products need the package haystack-crossalign-native and AVX512-VNNI or AMX",
                field="precision",
                seen=precision,
                allowed="auto, bf16, fp32",
            )
        if precision == "int8" or (precision == "auto" and possible):
            return cls(Int8Counter, Float32())
        return cls(Counter, format_of(precision, len(queries) * len(documents) * dim))


class PoolArrays:
    """The documents with their languages and versions, checked."""

    def __init__(
        self,
        vectors: NDArray[np.float32],
        document_languages: ArrayLike,
        languages: tuple[str, ...],
        tie_order: ArrayLike,
        versions: ArrayLike | None,
    ) -> None:
        count = len(vectors)
        self.vectors = vectors
        self.languages = language_codes(document_languages, count, len(languages), "document_languages")
        self.tie_order = integer_column(tie_order, count, "tie_order")
        self.chunked = versions is not None
        if versions is None:
            self.versions = np.arange(count, dtype=np.int32)
            self.version_languages = self.languages
            return
        self.versions = integer_column(versions, count, "versions").astype(np.int32)
        if self.versions.min() < 0:
            raise InputError("a version is negative", field="versions", seen=int(self.versions.min()))
        self.version_languages = np.full(int(self.versions.max()) + 1, -1, dtype=np.int32)
        self.version_languages[self.versions] = self.languages
        mixed = np.flatnonzero(self.version_languages[self.versions] != self.languages)
        if len(mixed):
            raise InputError(
                "a version holds documents of two languages", field="versions", seen=int(self.versions[mixed[0]])
            )
        self._by_version = np.argsort(self.versions, kind="stable")
        self._starts = np.searchsorted(self.versions[self._by_version], np.arange(len(self.version_languages) + 1))

    def targets(self, scorer: PairScorer | DistanceScorer, wanted: NDArray[np.int64]) -> Targets:
        """Exact score of each relevant version, and the position in the tie order of its first document with that
        score.
        """
        row, place = np.nonzero(wanted >= 0)
        version = wanted[row, place]
        scores = np.full(wanted.T.shape, np.inf, dtype=np.float32)
        places = np.zeros(wanted.T.shape, dtype=np.int64)
        if not self.chunked:
            scores[place, row] = scorer.exact(self.vectors, version, row)
            places[place, row] = self.tie_order[version]
            return Targets(scores, places)
        chunks = self._starts[version + 1] - self._starts[version]
        pair = np.repeat(np.arange(len(version)), chunks)
        within = np.arange(len(pair)) - np.repeat(np.cumsum(chunks) - chunks, chunks)
        document = self._by_version[self._starts[version][pair] + within]
        score = scorer.exact(self.vectors, document, row[pair])
        order = np.lexsort((self.tie_order[document], -score, pair))
        first = order[np.searchsorted(pair, np.arange(len(version)))]  # pair is ascending, so groups stay contiguous
        scores[place, row] = score[first]
        places[place, row] = self.tie_order[document[first]]
        return Targets(scores, places)


def count_against(
    queries: NDArray[np.float32],
    wanted: NDArray[np.int64],
    pool: PoolArrays,
    languages: int,
    similarity: Similarity,
    product: Product,
    threads: int,
    band: Band | None = None,
    lengths: LengthCheck | None = None,
) -> Counts:
    """Count the versions that rank ahead of each relevant version, for at most a few thousand queries.

    :param queries: float32 [Q, dim], as `comparable_vectors` returns them.
    :param wanted: int64 [Q, R], relevant versions, padded with -1.
    :param pool: the documents.
    :param languages: number of languages.
    :param similarity: what the score is; no distance with a band.
    :param product: the fast product.
    :param threads: see `share_out`.
    :param band: what to count apart; None to compare every pair by its exact score.
    :param lengths: check of documents that are not checked yet, for a product that measures them.
    """
    total = Counts.zero(languages, wanted.shape[1], len(queries))
    if not (wanted >= 0).any():
        return total
    blocks = cut_pool(pool.languages, pool.versions if pool.chunked else None, threads)
    if band is not None:
        blocks = [block for block in blocks if block.language in band.languages]
    if is_distance(similarity):
        targets = pool.targets(DistanceScorer(queries, similarity), wanted)
        return count_by_distance(queries, pool.vectors, similarity, targets, pool.tie_order, blocks, languages, threads)
    targets = pool.targets(PairScorer(queries), wanted)
    order = by_depth(queries, pool.vectors, targets)
    queries = queries[order]
    if band is not None:
        band.reorder(order)
    codes = sorted({block.language for block in blocks})
    counter = product.counter(
        documents=pool.vectors,
        scorer=PairScorer(queries),
        operand=QueryOperand(queries, product.form, slack=None if band is None else band.widest),
        targets=targets.reordered(order),
        tie_order=pool.tie_order,
        centers={code: center_of(pool.vectors, np.flatnonzero(pool.languages == code)) for code in codes},
        languages=languages,
        largest=max((len(block.documents) for block in blocks), default=0),
        band=band,
        lengths=lengths,
    )
    for counts in share_out(blocks, counter.count, threads):
        total.add(counts)
    return total.reordered(np.argsort(order))


def by_depth(queries: NDArray[np.float32], documents: NDArray[np.float32], targets: Targets) -> NDArray[np.int64]:
    """Order queries by how many sampled documents reach their lowest target, so that tiles are homogeneous: int64
    [Q].
    """
    sample = documents[:: max(1, len(documents) // _SAMPLE)]
    reached = (queries @ sample.T) >= targets.scores.min(axis=0)[:, None]
    order: NDArray[np.int64] = np.argsort(np.count_nonzero(reached, axis=1), kind="stable")
    return order


class _TopSearch:
    """Finds the version at rank 1 and those that tie with it."""

    def __init__(
        self, queries: NDArray[np.float32], pool: PoolArrays, languages: int, similarity: Similarity, precision: str
    ) -> None:
        self._queries, self._pool, self._languages = queries, pool, languages
        self._similarity, self._precision = similarity, precision

    def run(
        self, ranks: NDArray[np.int32], relevant_languages: NDArray[np.int32], tied: NDArray[np.int32] | None
    ) -> tuple[NDArray[np.int32], NDArray[np.int32] | None]:
        """Language of the version at rank 1, int32 [Q], and the number of versions of each language with its score,
        int32 [Q, L].

        If a relevant version is at rank 1, both are known; the pool is searched only for the other queries. The second
        is None if nothing ties.
        """
        first = np.where(ranks == 1, relevant_languages, -1)
        top: NDArray[np.int32] = first.max(axis=1, initial=-1).astype(np.int32)
        has_relevant = np.flatnonzero(top >= 0)
        rest = np.flatnonzero(top < 0)
        equals = np.zeros((len(top), self._languages), dtype=np.int64)
        if tied is not None and len(has_relevant):
            equals[has_relevant] = tied[has_relevant, first[has_relevant].argmax(axis=1)]
        if len(rest):
            top[rest], equals[rest] = self._search(self._queries[rest])
        if not equals.any():
            return top, None
        equals[np.arange(len(top)), top] += 1
        return top, equals.astype(np.int32)

    def _search(self, queries: NDArray[np.float32]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """The same by searching the pool; the counts exclude the version itself."""
        pool = self._pool
        # The first of the two documents is at rank 1; counting is needed only if the second has the same score.
        indices, scores = exact_top_k(
            queries,
            pool.vectors,
            2,
            tie_order=pool.tie_order,
            similarity=self._similarity,
            precision="auto" if self._precision == "int8" else self._precision,
        )
        equals = np.zeros((len(queries), self._languages), dtype=np.int64)
        shared = np.flatnonzero(scores[:, 0] == scores[:, -1]) if scores.shape[1] > 1 else np.empty(0, dtype=np.int64)
        if len(shared):
            wanted = pool.versions[indices[shared, :1]].astype(np.int64)
            product = Product.chosen(self._precision, queries[shared], pool.vectors, 1)
            with one_core_each() as threads:
                counts = count_against(
                    queries[shared], wanted, pool, self._languages, self._similarity, product, threads
                )
            equals[shared] = counts.tied[:, 0].T
        return pool.languages[indices[:, 0]], equals
