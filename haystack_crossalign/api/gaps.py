"""Translation gaps of files, or of a live index, which is only read."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from haystack_crossalign.api.collection import CollectionAudit, read_files, reading_log
from haystack_crossalign.api.index import LiveAudit
from haystack_crossalign.api.requests.files import FilesRequest
from haystack_crossalign.api.requests.index import IndexRequest
from haystack_crossalign.audit.gaps import ContentVersion, find_gaps, questions_of
from haystack_crossalign.audit.run import Progress
from haystack_crossalign.data.formats.query_log import iso_time, log_weights, read_dates, read_query_log
from haystack_crossalign.errors import ExternalError, InputError
from haystack_crossalign.languages import UNDETERMINED, normalize_language
from haystack_crossalign.messages import shortened
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.connection.connect import open_client
from haystack_crossalign.opensearch.index.inventory import version_inventory
from haystack_crossalign.opensearch.index.pool import MULTIPLE

_SHOWN, _NAMED = 20, 5
"""Number of searches without a judged query that the result lists, and that its notes name."""


def gaps_of_files(
    request: FilesRequest,
    *,
    date_field: str | None = None,
    query_log: Path | None = None,
    source: str | None = None,
    languages: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """The translation gaps of documents in a file, with the demand of judged queries.

    :param request: documents, queries and judgments, and the model.
    :param date_field: field of documents with their date; None to look for missing versions only.
    :param query_log: tab-separated log with ``query``, ``count`` and, if known, ``language``: counts for the queries.
    :param source: language that others are translated from; None for the one with the most contents.
    :param languages: languages that contents should have; None for all of the pool.
    :param progress: called with the current step, the amount done, and the total.
    :returns: mapping of schema ``crossalign.gaps/1``.
    :raises InputError: if a file is invalid.
    :raises ExternalError: if the model cannot be loaded.
    """
    request.check()
    _check_measured(request)
    source, languages = _tags(source, languages)
    log = reading_log(request.skip_invalid)
    collection = read_files(request, log=log)
    dates: dict[str, str] = {}
    if date_field is not None:
        if request.documents is None:
            raise InputError("dates are read from a file of documents", source="--date-field", allowed="--documents")
        dates = read_dates(request.documents, date_field, reading_log(request.skip_invalid))
    documents, queries = collection.documents, collection.queries
    audit = CollectionAudit(
        collection, request.measured, similarity=request.model.compared_by, accept_model=request.accept_model
    )
    result = audit.run(request.model.open() if audit.needs_model else None, progress=progress)
    contents = {
        name: tuple(dict.fromkeys(documents.groups[place] for place in relevant))
        for name, relevant in zip(queries.ids, collection.relevant, strict=True)
    }
    asked = _demand(query_log, queries.ids, queries.texts, queries.languages)
    versions = [
        ContentVersion(group, language, dates.get(name))
        for name, group, language in zip(documents.ids, documents.groups, documents.languages, strict=True)
        if language != UNDETERMINED
    ]
    return find_gaps(
        versions,
        questions_of(result, contents, asked.weights),
        demand="judged queries" if asked.log is None else "query log",
        languages=languages,
        source=source,
        log=asked.log,
        notes=asked.notes,
    )


def gaps_of_index(
    request: IndexRequest,
    *,
    client: ReadOnlyClient | None = None,
    date_field: str | None = None,
    query_log: Path | None = None,
    source: str | None = None,
    languages: Sequence[str] | None = None,
    progress: Progress | None = None,
    say: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """The translation gaps of a live index, which is only read.

    :param request: the index and its queries; without queries, probes tell the typical ranks.
    :param client: an open connection; None to open one.
    :param date_field: field of type date; None to look for missing versions only.
    :param query_log: as in `gaps_of_files`.
    :param source: as in `gaps_of_files`.
    :param languages: as in `gaps_of_files`.
    :param progress: called with the current step, the amount done, and the total.
    :param say: called with messages for the user.
    :returns: mapping of schema ``crossalign.gaps/1``.
    :raises InputError: if the index has no field of groups, or a file is invalid.
    :raises ExternalError: if the cluster or the model failed.
    """
    request.check()
    _check_measured(request)
    source, languages = _tags(source, languages)
    opened = client or open_client(request.settings, os.environ)
    try:
        return _of_index(request, opened, date_field, query_log, source, languages, progress, say)
    finally:
        if client is None:
            opened.close()


def _tags(source: str | None, languages: Sequence[str] | None) -> tuple[str | None, list[str] | None]:
    """Both as tags, in whatever spelling they are given.

    :raises InputError: for an unknown language, a text in place of a list, or none.
    """
    if isinstance(languages, str) or (languages is not None and not languages):
        raise InputError(
            "not a list of languages", field="languages", seen=languages, allowed="a list such as ['en', 'zh'], or None"
        )
    return (
        None if source is None else normalize_language(source, source="--source"),
        None if languages is None else [normalize_language(tag, source="--languages") for tag in languages],
    )


def _check_measured(request: FilesRequest | IndexRequest) -> None:
    """Refuse what would leave queries without the exact ranks in the mixed pool that demand is measured by.

    :raises InputError: naming the option.
    """
    lists = (request.results, request.pipeline) if isinstance(request, FilesRequest) else ()
    if any(path is not None for path in lists):
        raise InputError("gaps are measured by exact ranks, not by lists", seen=[str(path) for path in lists if path],
                         allowed="a request without results and pipeline")  # fmt: skip
    measured = request.measured
    if measured.pairs is not None or "multi" not in measured.scenarios:
        raise InputError("gaps are measured in the pool of all languages", field="measured",
                         seen=measured.pairs or list(measured.scenarios),
                         allowed="the scenario multi, no pairs")  # fmt: skip


def _of_index(
    request: IndexRequest,
    client: ReadOnlyClient,
    date_field: str | None,
    query_log: Path | None,
    source: str | None,
    languages: Sequence[str] | None,
    progress: Progress | None,
    say: Callable[[str], None] | None,
) -> dict[str, Any]:
    audit = LiveAudit(request, client, progress=progress, say=say)
    view = audit.open()
    # Before the queries are embedded and ranked: a wrong field should not cost minutes.
    rows = version_inventory(view, request.settings.index, date_field=date_field)
    versions = [
        ContentVersion(group, language, None if newest is None else iso_time(newest))
        for group, language, newest in rows
        if language not in (UNDETERMINED, MULTIPLE)
    ]
    if date_field is not None and not any(version.date for version in versions):
        raise InputError("no document has a date", source="--date-field", seen=date_field, allowed="a field in use")
    audit.prepare()
    finished = audit.run()
    if finished.stopped is not None:
        raise ExternalError(f"{client.hosts[0]}: the audit was stopped: {finished.stopped}")
    queries = audit.queries
    contents = {
        name: tuple(dict.fromkeys(version.group for version in relevant if not version.single))
        for name, relevant in zip(queries.ids, queries.versions, strict=True)
    }
    asked = _demand(query_log, queries.ids, queries.texts, queries.languages)
    notes = [*asked.notes]
    probes = queries.kind == "known-item"
    if probes:
        if query_log is not None:
            raise InputError(
                "a log gives counts to judged queries, and there are none", source="--query-log", allowed="--queries"
            )
        notes = ["Without judged queries nobody's demand is known; known-item probes tell the typical ranks."]
    return find_gaps(
        versions,
        questions_of(finished.result, contents, asked.weights),
        demand="probes" if probes else "judged queries" if asked.log is None else "query log",
        languages=languages,
        source=source,
        log=asked.log,
        notes=[*notes, *(finished.result.live or {}).get("warnings", ())],
    )


@dataclass(frozen=True)
class _Demand:
    """How often queries were asked.

    :param weights: number of searches of each judged query, by its id; None if there is no log.
    :param log: what the result says of the log; None if there is none.
    :param notes: what a reader must know.
    """

    weights: Mapping[str, int] | None = None
    log: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = ()


def _demand(query_log: Path | None, ids: Sequence[str], texts: Sequence[str], languages: Sequence[str]) -> _Demand:
    if query_log is None:
        return _Demand()
    log = read_query_log(query_log)
    weights, others = log_weights(log, ids, texts, languages)
    searches, unattributed = sum(log.values()), sum(others.values())
    frequent = sorted(
        (item for item in others.items() if item[1]), key=lambda item: (-item[1], item[0][0], item[0][1] or "")
    )
    first = [{"query": text, "language": tag, "count": number} for (text, tag), number in frequent[:_SHOWN]]
    notes = []
    if unattributed:
        named = ", ".join(f"'{shortened(text, 60)}' ({number:,})" for (text, _), number in frequent[:_NAMED])
        notes.append(
            f"{unattributed:,} of {searches:,} searches of the log are of queries without judgments, and count for no "
            f"content. The most frequent: {named}."
        )
    if not any(weights.values()):
        notes.append("No judged query is in the log: the texts must be the same, but for case and spaces.")
    return _Demand(weights, {"searches": searches, "unattributed": unattributed, "first": first}, tuple(notes))
