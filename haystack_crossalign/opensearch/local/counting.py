"""Ranks counted in a pool that was read: the same as the server's, which settles what lies within its rounding.

The server sums in single precision, so its scores differ from the exact ones in their last digits, and two documents
may tie or swap. A document whose value is further from that of a relevant document than this can matter compares the
same on both sides and is counted here. The scores of all others, and those of the first documents, are asked for in one
request for each query, and compared as the server compares them.

How far that is follows from the scores themselves: `SAFETY` times the largest difference that any score of the server
had from the exact value, at least `LEAST`. Every score that is asked for is such a comparison, and where one differs by
more than half of the distance that was used, its queries are counted again with a greater one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from haystack_crossalign.opensearch.connection.failures import settled
from haystack_crossalign.opensearch.exact.counting import CountingBatch, relevant_documents
from haystack_crossalign.opensearch.exact.ranked import RankedVersion, Top
from haystack_crossalign.opensearch.exact.versions import Version, ranked_versions
from haystack_crossalign.opensearch.index.pool import IndexView
from haystack_crossalign.opensearch.index.scoring import QueryVectors, checked_queries
from haystack_crossalign.opensearch.live.exact_top import exact_top
from haystack_crossalign.opensearch.live.hits import Hit
from haystack_crossalign.opensearch.local.candidates import candidates
from haystack_crossalign.opensearch.local.pool import LocalPool, impossible
from haystack_crossalign.opensearch.local.settling import first_hits, first_version, ranked_version
from haystack_crossalign.opensearch.local.spaces import query_rows, sizes, values_of_scores
from haystack_crossalign.ranks.arguments import padded
from haystack_crossalign.ranks.blocks import Band
from haystack_crossalign.ranks.exact import PoolArrays, Product, count_against
from haystack_crossalign.ranks.scores import PairScorer
from haystack_crossalign.ranks.workers import one_core_each

LEAST = 4e-6
"""Least distance within which the server decides, in the sizes of `spaces`: for a cosine 2e-6 of the server's score,
which is 1e-6 for each of the two documents compared."""

SAFETY = 4.0
_MOST = 1e-4
"""A greater difference means that the server does not score the vectors that were read."""

_GROUP = 512
"""Queries counted in one pass over the pool."""

_MOST_SETTLED = 900
"""A query with more documents to settle is left to the server as a whole."""

_CALIBRATED = 32


@dataclass(frozen=True)
class LocalRanks:
    """What was found for some queries.

    :param ranked: ranks of the relevant versions of each query, None for those not in the pool.
    :param tops: the version at rank 1 of each query, None if it has no relevant version in the pool.
    :param lists: the first documents of each query, as `haystack_crossalign.opensearch.live.exact_top.exact_top` gives
        them.
    """

    ranked: list[list[RankedVersion | None]]
    tops: list[Top | None]
    lists: list[list[Hit]]


@dataclass(frozen=True, eq=False)
class _Counted:
    """A query after the pass over the pool.

    :param greater: versions certainly above each relevant one, by language: int64 [L, R].
    :param open: target and document of what the server decides: int64 [n, 2].
    :param top: the first documents, and what may be among them; None if they are too many.
    :param slack: distance within which the server decides.
    """

    greater: NDArray[np.int64]
    open: NDArray[np.int64]
    top: NDArray[np.int64] | None
    slack: float


class LocalCounter:
    """Counts the ranks of the queries of one task.

    :param view: the task's pool on the server.
    :param pool: a pool that was read and contains it.
    :param tags: languages of the task's pool.
    :param vectors: float [Q, dimension], all queries of the task.
    :param relevant: relevant documents of each query by name, or its relevant versions.
    :param by_version: which of these.
    :param top: length of the lists of first documents.
    :param batch: queries in one request.
    :param concurrent: searches of one request that the server may work on at once.
    :param spend: called before a request with the number of documents that it scores.
    """

    def __init__(
        self,
        view: IndexView,
        pool: LocalPool,
        tags: Sequence[str],
        vectors: NDArray[np.float32],
        relevant: Sequence[Sequence[str]] | Sequence[Sequence[Version]],
        *,
        by_version: bool,
        top: int,
        batch: int,
        concurrent: int | None,
        spend: Callable[[int], None],
    ) -> None:
        self._view, self._pool, self._by_version, self._top = view, pool, by_version, top
        self._batch, self._concurrent, self._spend = batch, concurrent, spend
        self._relevant = relevant
        self._codes = [code for code, tag in enumerate(pool.languages) if tag in set(tags)]
        self._asked: QueryVectors = checked_queries(vectors, view.fields.vector)
        vectors = np.asarray(vectors, dtype=np.float32)
        self._queries = query_rows(vectors, view.fields.vector)
        self._scorer = PairScorer(self._queries)
        self._squares = np.square(vectors.astype(np.float64)).sum(axis=1)
        self._arrays: PoolArrays = pool.arrays(by_version=by_version)
        self._wanted = padded([[self._code(document) for document in row] for row in relevant], -1, np.int64)
        self._order = np.arange(len(vectors)).tolist()
        self._counted: dict[int, _Counted] = {}
        self._slack = LEAST
        self.settled_documents = 0
        self._calibrated = False

    def expect(self, places: Sequence[int]) -> None:
        """Say which queries will be measured, in which order, so that they are counted together."""
        self._order = list(places)

    def calibrate(self) -> None:
        """Compare the scores of some relevant documents, for a first distance; once.

        :raises InputError: if the server's scores are not those of the vectors that were read.
        """
        if self._calibrated:
            return
        self._calibrated = True
        rows = {}
        for place in self._order[:_CALIBRATED]:
            wanted = set(self._wanted[place].tolist()) - {-1}
            if wanted:
                documents = np.flatnonzero(np.isin(self._arrays.versions, list(wanted)))[:_MOST_SETTLED]
                rows[place] = [self._pool.names[number] for number in documents]
        scores = self._scores(rows)
        self._widen(max((self._difference(place, of_query) for place, of_query in scores.items()), default=0.0))

    def measure(self, places: Sequence[int]) -> LocalRanks:
        """Ranks and first documents of some queries.

        :param places: positions of the queries within the task.
        :raises InputError: if the server's scores are not those of the vectors that were read.
        :raises CrossAlignError: if the cluster refuses, fails, or gives an incomplete answer.
        """
        return settled(partial(self._measure, places))

    def _measure(self, places: Sequence[int]) -> LocalRanks:
        self.calibrate()
        while True:
            self.count(places)
            slack = {place: self._counted[place].slack for place in places}
            scores = self._scores({place: names for place in places if (names := self._settled(place)) is not None})
            worst = max((self._difference(place, of_query) for place, of_query in scores.items()), default=0.0)
            if worst <= min(slack.values()) / 2:
                break
            self._widen(worst)
            for place in places:
                del self._counted[place]
        left = [place for place in places if place not in scores]
        ranked, tops, lists = self._by_server(left)
        for place, of_query in scores.items():
            ranked[place] = self._ranked(place, of_query)
            lists[place] = self._first(place, of_query)
            tops[place] = first_version(lists[place], ranked[place], self._view, by_version=self._by_version)
            del self._counted[place]
        return LocalRanks(
            [ranked[place] for place in places], [tops[place] for place in places], [lists[place] for place in places]
        )

    def _code(self, unit: str | Version) -> int:
        """Number of a relevant document or version, -1 if the task's pool does not hold it."""
        if isinstance(unit, Version):
            code = self._pool.version_codes.get(unit, -1)
            language = -1 if code < 0 else int(self._arrays.version_languages[code])
        else:
            code = self._pool.place.get(unit, -1)
            language = -1 if code < 0 else int(self._pool.language[code])
        return code if language in self._codes else -1

    def _widen(self, difference: float) -> None:
        if difference > _MOST:
            raise impossible(
                f"a score of the server differs by {difference:.1e} from that of the vector in the stored document"
            )
        self._slack = max(self._slack, SAFETY * difference)

    def _difference(self, place: int, scores: dict[int, float]) -> float:
        """Largest difference of the server's scores of a query from the values counted with, in their sizes."""
        documents = np.array(list(scores), dtype=np.int64)
        field = self._view.fields.vector
        squares = np.full(len(documents), self._squares[place])
        rows = np.full(len(documents), place)
        own = self._scorer.exact(self._pool.rows, documents, rows).astype(np.float64)
        theirs = values_of_scores(np.array(list(scores.values())), squares, field)
        measured_in = sizes(own, squares, self._pool.lengths[documents], field)
        return float((np.abs(theirs - own) / measured_in).max(initial=0.0))

    def _scores(self, wanted: dict[int, list[str]]) -> dict[int, dict[int, float]]:
        """The server's scores of some documents for some queries, by the number of the document."""
        scores: dict[int, dict[int, float]] = {}
        places = list(wanted)
        for start in range(0, len(places), self._batch):
            part = places[start : start + self._batch]
            names = [wanted[place] for place in part]
            documents = sum(map(len, names))
            self.settled_documents += documents
            self._spend(documents)
            answered = relevant_documents(self._view, [self._asked[place] for place in part], names, self._concurrent)
            for place, row, asked in zip(part, answered, names, strict=True):
                if lost := [name for name, hit in zip(asked, row, strict=True) if hit is None]:
                    raise self._view.vanished(f"document '{lost[0]}'")
                scores[place] = {self._pool.place[hit.identifier]: hit.score for hit in row if hit is not None}
        return scores

    def count(self, places: Sequence[int]) -> None:
        """Count queries in one pass over the pool, and some of the next ones; those that were counted are left out.

        :param places: positions of the queries within the task.
        """
        missing = [place for place in places if place not in self._counted]
        if not missing:
            return
        ahead = self._order[self._order.index(missing[0]) :] if missing[0] in self._order else []
        rest = [place for place in ahead if place not in self._counted]
        group = list(dict.fromkeys([*missing, *rest]))[: max(_GROUP, len(missing))]
        queries, wanted = self._queries[group], self._wanted[group]
        targets = self._arrays.targets(PairScorer(queries), wanted)
        band = self._band(targets.scores, np.array(group))
        with one_core_each() as threads:
            product = Product.chosen("auto", queries, self._pool.rows, wanted.shape[1])
            counts = count_against(
                queries, wanted, self._arrays, len(self._pool.languages), "dot", product, threads, band
            )
        tops = candidates(
            queries,
            self._pool,
            self._codes,
            self._top,
            units=self._arrays.versions if self._by_version else None,
            slack=lambda values, numbers: self._slack * self._sizes(values, np.array(group)[numbers]),
            most=_MOST_SETTLED,
        )
        doubtful = band.open
        starts = np.searchsorted(doubtful[:, 0], np.arange(len(group) + 1))
        for number, place in enumerate(group):
            rows = doubtful[starts[number] : starts[number + 1], 1:]
            self._counted[place] = _Counted(counts.greater[:, :, number], rows, tops[number], self._slack)

    def _band(self, targets: NDArray[np.float32], places: NDArray[np.int64]) -> Band:
        """What the server decides of some queries: half the slack comes from either document of a comparison."""
        values = np.where(np.isposinf(targets), 0.0, targets.astype(np.float64))
        if self._view.fields.vector.similarity != "dot":
            base = self._slack * self._sizes(values, np.broadcast_to(places, values.shape))
            return Band(base, np.zeros(len(places)), self._pool.lengths, self._codes)
        longest = np.zeros(len(self._arrays.version_languages))
        np.maximum.at(longest, self._arrays.versions, self._pool.lengths)
        lengths = np.sqrt(self._squares[places])
        base = self._slack * (1 + lengths * longest[np.maximum(self._wanted[places].T, 0)] / 2)
        return Band(base, self._slack * lengths / 2, self._pool.lengths, self._codes)

    def _sizes(self, values: NDArray[np.float64], places: NDArray[np.int64]) -> NDArray[np.float64]:
        """What errors of values are measured in, for the longest document of the pool."""
        lengths = np.full(values.shape, self._pool.lengths.max(initial=0.0))
        return sizes(values, self._squares[places], lengths, self._view.fields.vector)

    def _settled(self, place: int) -> list[str] | None:
        """Documents whose scores decide, by name; None if they are too many."""
        counted = self._counted[place]
        if counted.top is None:
            return None
        documents = dict.fromkeys([*counted.open[:, 1].tolist(), *counted.top.tolist()])
        most = min(_MOST_SETTLED, self._view.fields.most_hits - 1)
        return [self._pool.names[number] for number in documents] if len(documents) <= most else None

    def _ranked(self, place: int, scores: dict[int, float]) -> list[RankedVersion | None]:
        counted = self._counted[place]
        return [
            None
            if version < 0
            else ranked_version(
                version,
                counted.greater[:, column],
                counted.open[counted.open[:, 0] == column, 1].tolist(),
                scores,
                self._arrays.versions,
                self._pool,
            )
            for column, version in enumerate(self._wanted[place, : len(self._relevant[place])].tolist())
        ]

    def _first(self, place: int, scores: dict[int, float]) -> list[Hit]:
        top = self._counted[place].top
        documents = [] if top is None else top.tolist()
        return first_hits(documents, scores, self._top, self._pool, self._view, by_version=self._by_version)

    def _by_server(
        self, places: Sequence[int]
    ) -> tuple[dict[int, list[RankedVersion | None]], dict[int, Top | None], dict[int, list[Hit]]]:
        """Queries with too many documents near to each other, as the server counts them."""
        if not places:
            return {}, {}, {}
        view, rows = self._view, [self._asked[place] for place in places]
        self._spend(2 * len(places) * view.pool().documents)
        if self._by_version:
            wanted = [
                [version for version in self._relevant[place] if isinstance(version, Version)] for place in places
            ]
            _, ranked, tops = ranked_versions(view, rows, wanted, True, self._concurrent)
        else:
            batch = CountingBatch(view, rows, [[str(version) for version in self._relevant[place]] for place in places],
                                  self._concurrent)  # fmt: skip
            batch.count(True)
            ranked, tops = batch.ranked, batch.top
        lists = exact_top(view, rows, self._top, view.target, by_version=self._by_version, batch=len(places),
                          concurrent=self._concurrent)  # fmt: skip
        for place in places:
            del self._counted[place]
        return (
            dict(zip(places, ranked, strict=True)),
            dict(zip(places, tops, strict=True)),
            dict(zip(places, lists, strict=True)),
        )
