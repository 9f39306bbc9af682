"""Plan of the load of an audit on a cluster, estimated from a measured probe of a few queries."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from haystack_crossalign.opensearch.audit.pacing import Pace
from haystack_crossalign.opensearch.audit.tasks import Unit
from haystack_crossalign.opensearch.audit.units import Measurer
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.connection.traffic import Totals

PROBED = 2
"""Queries of each pool that the probe measures."""


@dataclass(frozen=True)
class Plan:
    """The work ahead.

    :param queries: number of queries, counted once for each pool.
    :param requests: HTTP requests; ties may add a few.
    :param documents_scored: documents scored exactly, over all requests.
    :param bytes_out: bytes sent to the cluster.
    :param bytes_in: bytes received from it.
    :param seconds: expected time at the speed of the probe, within the load limit.
    :param documents_per_second: speed of the probe.
    :param max_load: the limit, None for none.
    """

    queries: int
    requests: int
    documents_scored: int
    bytes_out: int
    bytes_in: int
    seconds: float
    documents_per_second: float
    max_load: float | None

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
    clock: Callable[[], float] = time.monotonic,
) -> Plan:
    """Measure a few queries of each pool as in the audit, and extrapolate.

    :param client: connection, whose traffic record is read.
    :param measurers: one for each task.
    :param units: all units.
    :param pace: the load limit; the probe keeps to it.
    :param with_top: number of queries with an exact top list, for each task.
    :param clock: returns monotonic seconds.
    """
    requests = bytes_out = bytes_in = documents = probed = queries = 0
    seconds = spent = 0.0
    for number, measurer in enumerate(measurers):
        own = [unit for unit in units if unit.task == number]
        if not own:
            continue
        count = sum(len(unit.queries) for unit in own)
        first = Unit(number, own[0].queries[:PROBED], own[0].first)
        before, start, waited = _sum(client.traffic.totals), clock(), pace.waited
        measurer.measure(first)
        took = max(clock() - start - (pace.waited - waited), 1e-6)
        after = _sum(client.traffic.totals)
        share = count / len(first.queries)
        requests += (after.requests - before.requests) * len(own)
        bytes_out += round((after.bytes_out - before.bytes_out) * share)
        bytes_in += round((after.bytes_in - before.bytes_in) * share)
        documents += measurer.load(count, with_top=with_top[number])
        probed += measurer.load(len(first.queries))
        seconds += took * share
        spent += took
        queries += count
    return Plan(
        queries=queries,
        requests=requests,
        documents_scored=documents,
        bytes_out=bytes_out,
        bytes_in=bytes_in,
        seconds=max(seconds, pace.seconds(documents)),
        documents_per_second=probed / spent if spent else 0.0,
        max_load=pace.rate,
    )


def _sum(totals: Mapping[str, Totals]) -> Totals:
    return Totals(
        requests=sum(one.requests for one in totals.values()),
        bytes_out=sum(one.bytes_out for one in totals.values()),
        bytes_in=sum(one.bytes_in for one in totals.values()),
    )
