"""A unit of an audit: exact ranks, retrieved lists, and their recall, as JSON values."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np

from haystack_crossalign.errors import InputError
from haystack_crossalign.opensearch.audit.pacing import Pace
from haystack_crossalign.opensearch.audit.records import Record, estimated_parts, table_parts
from haystack_crossalign.opensearch.audit.tasks import Task, Unit, select, with_judged
from haystack_crossalign.opensearch.exact.counting import count_ranks, reasons_without_rank
from haystack_crossalign.opensearch.exact.ranked import REASONS, WITHOUT_VECTOR, Unranked
from haystack_crossalign.opensearch.exact.sampling import estimate_ranks
from haystack_crossalign.opensearch.exact.versions import Version, VersionPool, count_version_ranks, version_pool
from haystack_crossalign.opensearch.index.groups import Member
from haystack_crossalign.opensearch.live.exact_top import exact_top
from haystack_crossalign.opensearch.live.hits import Hit
from haystack_crossalign.opensearch.live.lists import KnnRetrieval, Retrieval
from haystack_crossalign.opensearch.live.queries import LiveQueries
from haystack_crossalign.opensearch.live.ranks import list_recall, live_table, versions_held, without_repeats
from haystack_crossalign.opensearch.local.counting import LocalCounter, LocalRanks
from haystack_crossalign.opensearch.local.pool import LocalPool
from haystack_crossalign.opensearch.local.table import counted_locally


@dataclass(frozen=True)
class UnitOptions:
    """How units are measured.

    :param depth: documents in each retrieved list.
    :param top: k of the recall, and number of hits kept of each list.
    :param sample: share of the pool to score for each query; None for all of it.
    :param seed: of the samples.
    :param concurrent: maximum concurrent searches on the server.
    :param count: what ranks in lists count, ``versions`` or ``hits``.
    """

    depth: int = 100
    top: int = 10
    sample: float | None = None
    seed: int = 0
    concurrent: int | None = None
    count: str = "versions"


class Measurer:
    """Measures the units of one task.

    :param task: pool and queries.
    :param retrievals: the lists to retrieve.
    :param members: language and group of every judged document.
    :param options: how.
    :param pace: budget of the load.
    :param with_top: positions within the task of the queries with an exact top list; None for all.
    :param versions: the pool's versions, if documents are chunks and these are already known.
    """

    def __init__(
        self,
        task: Task,
        retrievals: Sequence[Retrieval],
        members: Mapping[str, Member],
        options: UnitOptions,
        pace: Pace,
        *,
        with_top: Collection[int] | None = None,
        versions: VersionPool | None = None,
    ) -> None:
        self.task = task
        self.retrievals = retrievals
        self.chunked = task.queries.chunked
        self._members = members
        self._options = options
        self._pace = pace
        self._with_top = with_top
        self._versions = versions
        self._local: LocalCounter | None = None
        if options.sample is not None and not task.view.fields.has_vectors:
            raise InputError(
                "the index has no vectors, so that there is nothing to score a sample of",
                source="--sample",
                seen=options.sample,
                allowed="an audit without --sample",
            )
        if self.chunked and options.sample is not None:
            raise InputError(
                "the versions of this index have several documents, and samples are of single documents",
                source="--sample",
                seen=options.sample,
                allowed="an audit without --sample, or of an index with one document for each version",
            )

    def count_locally(self, pool: LocalPool, units: Sequence[Unit], *, batch: int) -> None:
        """Count exact ranks here from now on.

        :param pool: documents that were read, among them those of the task.
        :param units: the units to be measured, in their order.
        :param batch: queries in one request.
        """
        task, queries = self.task, self.task.queries
        if queries.vectors is None:
            return
        self._local = LocalCounter(
            task.view,
            pool,
            task.scenarios[0].pool_languages,
            queries.vectors,
            queries.versions if self.chunked else queries.judged,
            by_version=self.chunked,
            top=self._options.top,
            batch=batch,
            concurrent=self._options.concurrent,
            spend=self._pace.spend,
        )
        self._local.expect([place for unit in units for place in unit.queries])
        self._local.calibrate()

    def count_ahead(self, unit: Unit) -> None:
        """Do now what counting here takes for a unit, without the cluster; nothing if the cluster counts."""
        if self._local is not None:
            self._local.count(unit.queries)

    def count_on_server(self) -> None:
        """Have exact ranks counted by the cluster from now on."""
        self._local = None

    @property
    def pool_size(self) -> int:
        """Number of versions in the pool."""
        return self._version_pool().versions if self.chunked else self.task.view.pool().documents

    def listed_pool(self, retrieval: Retrieval) -> int | None:
        """Number of what the ranks in a list count in its pool; None where that is not known.

        :param retrieval: the list; only that of nearest neighbors leaves out documents without a vector.
        """
        pool = self.task.view.pool()
        further = 0 if isinstance(retrieval, KnnRetrieval) else pool.without_vector
        if self._options.count == "hits" or not self.chunked:
            return pool.documents + further
        # How many versions the documents without a vector make up, beyond those with one, is not counted.
        return None if further else self.pool_size

    @property
    def by_language(self) -> Mapping[str, int]:
        """Versions of the pool by language, sorted."""
        return self._version_pool().by_language if self.chunked else self.task.view.pool().by_language

    @property
    def listed_by_language(self) -> Mapping[str, int]:
        """What the ranks in lists count in the pool, by language, sorted."""
        return self.task.view.pool().by_language if self._options.count == "hits" else self.by_language

    @property
    def pool_languages(self) -> tuple[str, ...]:
        """Languages of the pool, sorted."""
        return tuple(self.by_language)

    def load(self, queries: int, *, with_top: int | None = None) -> int:
        """Number of documents scored exactly to measure some queries.

        :param queries: number of queries.
        :param with_top: number of them with an exact top list; None for all.
        """
        if not self.task.view.fields.has_vectors:
            return 0
        documents = self.task.view.pool().documents
        counted = documents if self._options.sample is None else math.ceil(documents * self._options.sample)
        return queries * counted + (queries if with_top is None else with_top) * documents

    def measure(self, unit: Unit) -> list[Record]:
        """The records of a unit's queries, in its order.

        :raises CrossAlignError: the cluster refuses, fails, or gives an incomplete answer.
        """
        queries = select(self.task.queries, unit.queries)
        records: list[Record] = [{} for _ in queries.ids]
        tops = [place for place, query in enumerate(unit.queries) if self._with_top is None or query in self._with_top]
        local = None if self._local is None else self._local.measure(unit.queries)
        if local is None:
            self._pace.spend(self.load(len(queries), with_top=0))
        unranked = self._exact(queries, unit.first, records, local)
        exact = self._exact_top(queries, tops, records, local)
        absent = [{name: why for name, why in names.items() if why != WITHOUT_VECTOR} for names in unranked]
        near, others = self._without(queries, unranked), self._without(queries, absent)
        for retrieval in self.retrievals:
            asked = near if isinstance(retrieval, KnnRetrieval) else others
            self._live(retrieval, asked, tops, exact, records)
        return records

    def _exact(
        self, queries: LiveQueries, first: int, records: list[Record], local: LocalRanks | None
    ) -> list[dict[str, str]]:
        """Add exact or estimated ranks; returns for each query the relevant versions without a rank, with reasons."""
        options, view = self._options, self.task.view
        if not view.fields.has_vectors:
            return self._outside(queries, records)
        gains = queries.gains(self._members, by_version=self.chunked)
        if options.sample is not None:
            estimated = estimate_ranks(
                view,
                queries.vectors if queries.vectors is not None else [],
                queries.judged,
                probability=options.sample,
                seed=options.seed,
                first_query=first,
                batch=max(len(queries), 1),
                concurrent=options.concurrent,
            )
            for record, part in zip(records, estimated_parts(estimated, gains), strict=True):
                record["exact"] = part
            missing: Sequence[Unranked] = estimated.unranked
        else:
            counted = (
                counted_locally(
                    view,
                    local,
                    queries.versions if self.chunked else queries.judged,
                    query_languages=queries.languages,
                    by_language=self.by_language,
                )
                if local is not None
                else count_version_ranks(
                    view,
                    queries.vectors if queries.vectors is not None else [],
                    queries.versions,
                    query_languages=queries.languages,
                    pool=self._version_pool(),
                    top_language=True,
                    batch=max(len(queries), 1),
                    concurrent=options.concurrent,
                )
                if self.chunked
                else count_ranks(
                    view,
                    queries.vectors if queries.vectors is not None else [],
                    queries.judged,
                    query_languages=queries.languages,
                    top_language=True,
                    batch=max(len(queries), 1),
                    concurrent=options.concurrent,
                )
            )
            for record, part in zip(records, table_parts(counted.table, gains), strict=True):
                record["exact"] = part
            missing = self._explained(queries, counted.unranked) if self.chunked else counted.unranked
        lacking: list[dict[str, str]] = [{} for _ in records]
        for record in records:
            record["unranked"] = []
        for unranked in missing:
            records[unranked.query]["unranked"].append([unranked.name, unranked.reason])
            lacking[unranked.query][unranked.name] = unranked.reason
        return lacking

    def _explained(self, queries: LiveQueries, missing: Sequence[Unranked]) -> list[Unranked]:
        """Versions that are not in the pool, each with the reason of its judged documents: of several, that which lets
        a list find it."""
        documents = {
            (one.query, one.name): [name for name in queries.judged[one.query] if self._unit(name) == one.name]
            for one in missing
        }
        reasons = reasons_without_rank(self.task.view, set(chain.from_iterable(documents.values())))

        def reason(one: Unranked) -> str:
            found = {reasons[name] for name in documents[one.query, one.name]}
            return next((known for known in REASONS if known in found), one.reason)

        return [replace(one, reason=reason(one)) for one in missing]

    def _outside(self, queries: LiveQueries, records: list[Record]) -> list[dict[str, str]]:
        """For an index without vectors: each query's relevant versions that are not in the pool, with reasons."""
        view = self.task.view
        wanted = sorted(set(chain.from_iterable(queries.judged)))
        inside: set[str] = set()
        for start in range(0, len(wanted), view.fields.most_hits):
            only = view.scoring.pool(view.names.query(wanted[start : start + view.fields.most_hits]))
            body = {"size": view.fields.most_hits, "_source": False, "query": only}
            inside |= {view.names.of(hit) for hit in view.client.search(body, view.target)["hits"]["hits"]}
        lacking: list[dict[str, str]] = []
        for record, judged in zip(records, queries.judged, strict=True):
            reasons = reasons_without_rank(view, set(judged) - inside)
            units: dict[str, str] = {}
            there = {self._unit(name) for name in judged if name in inside}
            for name, reason in reasons.items():
                if self._unit(name) not in there:
                    units.setdefault(self._unit(name), reason)
            record["unranked"] = [[name, reason] for name, reason in sorted(units.items())]
            lacking.append(units)
        return lacking

    def _unit(self, name: str) -> str:
        """Name, for reports, of the unit in which a judged document is ranked."""
        member = self._members[name]
        return Version.of(name, member.language, member.group).name if self.chunked else name

    def _exact_top(
        self, queries: LiveQueries, places: Sequence[int], records: list[Record], local: LocalRanks | None
    ) -> dict[int, list[Hit]]:
        for record in records:
            record["shown"] = None
        options, view = self._options, self.task.view
        if not places or queries.vectors is None or not view.fields.has_vectors:
            return {}
        if local is not None:
            lists = [local.lists[place] for place in places]
        else:
            self._pace.spend(len(places) * view.pool().documents)
            lists = exact_top(
                view,
                queries.vectors[np.array(places, dtype=np.int64)],
                options.top,
                view.target,
                by_version=self.chunked,
                batch=len(places),
                concurrent=options.concurrent,
            )
        by_place = dict(zip(places, lists, strict=True))
        for place, hits in by_place.items():
            records[place]["shown"] = _shown(hits, options.top)
        return by_place

    def _live(
        self,
        retrieval: Retrieval,
        queries: LiveQueries,
        places: Sequence[int],
        exact: Mapping[int, list[Hit]],
        records: list[Record],
    ) -> None:
        options, view = self._options, self.task.view
        returned = retrieval.retrieve(
            queries.texts,
            queries.vectors if retrieval.needs_vectors else None,
            options.depth,
            view.target,
            languages=queries.languages,
        )
        lists, repeated = zip(*map(without_repeats, returned), strict=True) if returned else ((), ())
        merged = options.count == "versions"
        asked = retrieval.asked_depth(options.depth)
        table = live_table(
            lists if merged else returned,
            queries,
            members=self._members,
            asked=asked,
            by_version=self.chunked,
            merged=merged,
            pool_languages=self.pool_languages,
            pool_size=self.listed_pool(retrieval),
            lengths=[len(hits) for hits in returned],
            key=view.names.tie_key,
        )
        recall = list_recall(
            [lists[place] for place in places],
            [exact.get(place, []) for place in places],
            options.top,
            by_version=self.chunked,
            asked=asked,
        )
        known = dict(zip(places, recall.tolist(), strict=True))
        gains = queries.gains(self._members, by_version=self.chunked)
        for place, (record, part) in enumerate(zip(records, table_parts(table, gains), strict=True)):
            value = known.get(place, math.nan)
            part["recall"] = None if math.isnan(value) else value
            part["shown"] = _shown(lists[place], options.top)
            if self.chunked:
                part["held"] = [len(lists[place]), versions_held(lists[place], self._members)]
            if repeated[place]:
                part["repeated"] = repeated[place]
            record.setdefault("live", {})[retrieval.name] = part

    def _without(self, queries: LiveQueries, unranked: Sequence[Mapping[str, str]]) -> LiveQueries:
        """The queries without judged documents that a list could not contain."""
        if not any(unranked):
            return queries

        def kept(name: str, lacking: Mapping[str, str]) -> bool:
            return self._unit(name) not in lacking

        judged = [
            [name for name in names if kept(name, lacking)]
            for names, lacking in zip(queries.judged, unranked, strict=True)
        ]
        return with_judged(queries, judged, self._members)

    def _version_pool(self) -> VersionPool:
        if self._versions is None:
            self._versions = version_pool(self.task.view)
        return self._versions


def _shown(hits: Sequence[Hit], most: int) -> list[list[Any]]:
    return [[hit.id, None if math.isnan(hit.score) else hit.score, hit.language, hit.group] for hit in hits[:most]]
