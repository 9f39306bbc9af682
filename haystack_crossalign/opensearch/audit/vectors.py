"""Who counts exact ranks: the cluster, or this machine in vectors that it reads once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from haystack_crossalign.audit.run import Progress
from haystack_crossalign.errors import InputError
from haystack_crossalign.opensearch.audit.options import AuditOptions
from haystack_crossalign.opensearch.audit.pacing import Pace
from haystack_crossalign.opensearch.audit.tasks import Unit
from haystack_crossalign.opensearch.audit.units import Measurer
from haystack_crossalign.opensearch.connection.settings import LiveSettings
from haystack_crossalign.opensearch.index.pool import IndexView
from haystack_crossalign.opensearch.local.pool import EXACT, LocalPool, impossible, read_pool, read_some, reason_against
from haystack_crossalign.opensearch.local.spaces import columns

Counting = Literal["server", "local"]

READING = 800
"""Vectors are read where the cluster would score this many documents for each that is read: 400 queries over the whole
pool. Measured, reading one takes as long as scoring 560, and 380 by the time of the cluster's processor
(benchmarks/results/live_audit.md).
"""

MOST_BYTES = 1 << 30
"""Vectors that take more memory are not read unless told to."""


def check_local(view: IndexView, settings: LiveSettings, options: AuditOptions) -> None:
    """Refuse what cannot be counted here, before anything is embedded or read.

    :param view: the index.
    :param settings: who counts.
    :param options: what is measured.
    :raises InputError: naming the reason.
    """
    if settings.exact != "local":
        return
    if options.sample is not None:
        raise InputError(
            "a sample is scored by the cluster",
            source="--sample",
            seen=options.sample,
            allowed="--exact server with it",
        )
    if (reason := reason_against(view)) is not None:
        raise impossible(reason)


def who_counts(
    view: IndexView, measurers: Sequence[Measurer], settings: LiveSettings, options: AuditOptions
) -> Counting:
    """Who counts, by the settings or by what costs less. The same audit of the same index has the same answer.

    :param view: everything that matches the user's filter.
    :param measurers: one for each task.
    :param settings: ``exact`` says who, or leaves it open.
    :param options: what is measured.
    """
    if settings.exact != "auto":
        return settings.exact
    if options.sample is not None or not view.fields.has_vectors:
        return "server"
    documents = view.pool().documents
    scored = sum(measurer.load(len(measurer.task.queries)) for measurer in measurers)
    if scored < READING * documents or 4 * documents * columns(view.fields.vector) > MOST_BYTES:
        return "server"
    return "server" if reason_against(view) is not None else "local"


def some_vectors(view: IndexView, settings: LiveSettings, most: int) -> LocalPool | None:
    """A few documents, for a plan; None if the cluster has to count.

    :param view: everything that matches the user's filter.
    :param settings: whether the cluster may count.
    :param most: number of documents.
    :raises InputError: if the vectors are not to be had, unless the cluster may count.
    """
    try:
        return read_some(view, most)
    except InputError as error:
        if settings.exact != "auto" or error.source != EXACT:
            raise
        return None


def read_vectors(
    view: IndexView,
    measurers: Sequence[Measurer],
    units: Sequence[Unit],
    settings: LiveSettings,
    pace: Pace,
    progress: Progress | None,
    notes: list[str],
) -> Counting:
    """Read the pool, and have the measurers count in it.

    :param view: everything that matches the user's filter, in a point in time.
    :param measurers: one for each task.
    :param units: those to be measured, in their order; if there are none, nothing is read.
    :param settings: queries in one request, and whether the cluster may count if the vectors are not to be had.
    :param pace: the load limit: a document that is read counts as one that is scored.
    :param progress: called with the numbers of documents.
    :param notes: list to which the reason is added if the cluster counts.
    :returns: who counts.
    :raises InputError: if the vectors are not to be had, unless the cluster may count.
    :raises ExternalError: if the cluster fails.
    """
    if not units:
        return "local"
    try:
        pool = read_pool(
            view,
            spend=pace.spend,
            progress=lambda done, total: None if progress is None else progress("Reading vectors", done, total),
        )
        for number, measurer in enumerate(measurers):
            measurer.count_locally(pool, [unit for unit in units if unit.task == number], batch=settings.batch)
    except InputError as error:
        if settings.exact != "auto" or error.source != EXACT:
            raise
        for measurer in measurers:
            measurer.count_on_server()
        notes.append(f"exact ranks were counted by the cluster: {error.problem}")
        return "server"
    return "local"
