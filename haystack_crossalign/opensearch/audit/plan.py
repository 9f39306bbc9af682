"""Plan of the load of an audit on a cluster, estimated from a measured probe of a few queries."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from haystack_crossalign.opensearch.audit.pacing import Pace
from haystack_crossalign.opensearch.audit.tasks import Unit
from haystack_crossalign.opensearch.audit.units import Measurer
from haystack_crossalign.opensearch.audit.vectors import Counting, some_vectors
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.connection.settings import LiveSettings
from haystack_crossalign.opensearch.connection.traffic import Totals
from haystack_crossalign.opensearch.index.pool import IndexView
from haystack_crossalign.opensearch.local.pool import page_size
from haystack_crossalign.opensearch.local.spaces import columns

PROBED = 2
"""Queries of each pool that the probe measures."""

READ = 200
"""Documents that the probe reads, if their vectors will be read."""


@dataclass(frozen=True)
class Plan:
    """The work ahead.

    :param queries: number of queries, counted once for each pool.
    :param requests: HTTP requests; ties may add a few.
    :param documents_scored: documents that the cluster scores exactly, over all requests that score a whole pool.
    :param bytes_out: bytes sent to the cluster.
    :param bytes_in: bytes received from it.
    :param seconds: expected time at the speed of the probe, within the load limit.
    :param documents_per_second: speed of the probe.
    :param max_load: the limit, None for none.
    :param exact: who counts exact ranks, ``server`` or ``local``.
    :param server_seconds: expected time of the cluster's work, by its own clock.
    :param documents_read: documents whose vectors are read.
    :param memory: bytes that these take here.
    """

    queries: int
    requests: int
    documents_scored: int
    bytes_out: int
    bytes_in: int
    seconds: float
    documents_per_second: float
    max_load: float | None
    exact: Counting = "server"
    server_seconds: float = 0.0
    documents_read: int = 0
    memory: int = 0

    @property
    def told(self) -> dict[str, Any]:
        """What a result says of it: nothing that depends on the speed of the cluster."""
        read = {"documents_read": self.documents_read} if self.exact == "local" else {}
        return {
            "queries": self.queries,
            "documents_scored": self.documents_scored,
            **read,
            "max_load": self.max_load,
        }

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def make_plan(
    client: ReadOnlyClient,
    measurers: Sequence[Measurer],
    units: Sequence[Unit],
    pace: Pace,
    *,
    with_top: Sequence[int],
    pool: IndexView | None = None,
    settings: LiveSettings = LiveSettings(),  # noqa: B008 - frozen
    clock: Callable[[], float] = time.monotonic,
) -> Plan:
    """Measure a few queries of each pool as in the audit, and extrapolate.

    :param client: connection, whose traffic record is read.
    :param measurers: one for each task.
    :param units: all units.
    :param pace: the load limit; the probe keeps to it.
    :param with_top: number of queries with an exact top list, for each task.
    :param pool: everything that is read, if ranks are counted here; else None.
    :param settings: queries in one request, and who may count.
    :param clock: returns monotonic seconds.
    """
    requests = bytes_out = bytes_in = documents = probed = queries = read = 0
    seconds = spent = served = 0.0
    before, start = _sum(client.traffic.totals), clock()
    some = None if pool is None else some_vectors(pool, settings, READ)
    if pool is not None and some is not None:
        read = pool.pool().documents
        share = read / len(some.names)
        took, after = clock() - start, _sum(client.traffic.totals)
        requests += -(-read // page_size(pool))
        bytes_out += (after.bytes_out - before.bytes_out) * requests
        bytes_in += round((after.bytes_in - before.bytes_in) * share)
        served += (after.server_ms - before.server_ms) / 1000 * share
        seconds += took * share
        probed, spent = len(some.names), took
        for number, measurer in enumerate(measurers):
            measurer.count_locally(some, [unit for unit in units if unit.task == number], batch=settings.batch)
    for number, measurer in enumerate(measurers):
        own = [unit for unit in units if unit.task == number]
        if not own:
            continue
        count = sum(len(unit.queries) for unit in own)
        first = Unit(number, own[0].queries[:PROBED], own[0].first)
        # Hundreds of queries are counted in one pass, which is short beside their requests.
        measurer.count_ahead(first)
        before, start, waited = _sum(client.traffic.totals), clock(), pace.waited
        measurer.measure(first)
        took = max(clock() - start - (pace.waited - waited), 1e-6)
        after = _sum(client.traffic.totals)
        share = count / len(first.queries)
        requests += (after.requests - before.requests) * len(own)
        bytes_out += round((after.bytes_out - before.bytes_out) * share)
        bytes_in += round((after.bytes_in - before.bytes_in) * share)
        seconds += took * share
        served += (after.server_ms - before.server_ms) / 1000 * share
        if some is None:
            documents += measurer.load(count, with_top=with_top[number])
            probed += measurer.load(len(first.queries))
            spent += took
        queries += count
    return Plan(
        queries=queries,
        requests=requests,
        documents_scored=documents,
        bytes_out=bytes_out,
        bytes_in=bytes_in,
        seconds=max(seconds, pace.seconds(documents + read)),
        documents_per_second=probed / spent if spent else 0.0,
        max_load=pace.rate,
        exact="server" if some is None else "local",
        server_seconds=served,
        documents_read=read,
        memory=0 if pool is None or some is None else 4 * read * columns(pool.fields.vector),
    )


def _sum(totals: Mapping[str, Totals]) -> Totals:
    return Totals(
        requests=sum(total.requests for total in totals.values()),
        bytes_out=sum(total.bytes_out for total in totals.values()),
        bytes_in=sum(total.bytes_in for total in totals.values()),
        server_ms=sum(total.server_ms for total in totals.values()),
    )
