"""Read the vectors of an audit's pools, once for all of them, to count exact ranks here."""

from __future__ import annotations

from collections.abc import Sequence

from haystack_crossalign.audit.run import Progress
from haystack_crossalign.errors import InputError
from haystack_crossalign.opensearch.audit.options import AuditOptions
from haystack_crossalign.opensearch.audit.pacing import Pace
from haystack_crossalign.opensearch.audit.tasks import Unit
from haystack_crossalign.opensearch.audit.units import Measurer
from haystack_crossalign.opensearch.connection.settings import LiveSettings
from haystack_crossalign.opensearch.index.pool import IndexView
from haystack_crossalign.opensearch.local.pool import impossible, read_pool, reason_against


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


def read_vectors(
    view: IndexView,
    measurers: Sequence[Measurer],
    units: Sequence[Unit],
    settings: LiveSettings,
    pace: Pace,
    progress: Progress | None,
) -> None:
    """Read the pool, and have the measurers count in it.

    :param view: everything that matches the user's filter, in a point in time.
    :param measurers: one for each task.
    :param units: those to be measured, in their order; if there are none, nothing is read.
    :param settings: queries in one request.
    :param pace: the load limit: a document that is read counts as one that is scored.
    :param progress: called with the numbers of documents.
    :raises InputError: if the vectors are not to be had.
    :raises ExternalError: if the cluster fails.
    """
    if settings.exact != "local" or not units:
        return
    pool = read_pool(
        view,
        spend=pace.spend,
        progress=lambda done, total: None if progress is None else progress("Reading vectors", done, total),
    )
    for number, measurer in enumerate(measurers):
        measurer.count_locally(pool, [unit for unit in units if unit.task == number], batch=settings.batch)
