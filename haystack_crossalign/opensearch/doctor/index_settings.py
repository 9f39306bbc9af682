"""The examination of an index's settings: effects on searches, and limits that are too low for an audit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from haystack_crossalign.opensearch.audit.pipelines import pipeline_notes
from haystack_crossalign.opensearch.connection.client import Answer, ReadOnlyClient
from haystack_crossalign.opensearch.connection.search_pipelines import default_pipelines
from haystack_crossalign.opensearch.connection.settings import LiveSettings, flag_of
from haystack_crossalign.opensearch.doctor.findings import Finding, ok, outside, warning
from haystack_crossalign.opensearch.index.groups import GROUPS_PER_REQUEST

_BLOCK = "index.blocks.read"
_LEAST = {
    "index.max_docvalue_fields_search": (2, "an audit reads language and group of a hit"),
    "index.max_terms_count": (GROUPS_PER_REQUEST, "an audit asks for as many groups at once"),
}


def examine_settings(client: ReadOnlyClient, settings: LiveSettings, answers: Answer) -> Iterator[Finding]:
    """Default search pipelines, a block, and limits.

    :param client: connection.
    :param settings: the depth of the lists.
    :param answers: settings by real index, with flat names.
    """
    values = {index: answer["settings"] for index, answer in sorted(answers.items())}
    pipelines = default_pipelines(answers)
    notes = pipeline_notes(client, pipelines, tuple(values))
    yield from (warning("search pipeline", note) for note in notes)
    if not notes:
        yield ok("search pipeline", "no index has a default one")
    limits = list(_limits(values, settings))
    yield from limits
    if not limits:
        yield ok("limits of the index", "they leave room for an audit")


def _limits(values: Mapping[str, Mapping[str, Any]], settings: LiveSettings) -> Iterator[Finding]:
    for index, own in values.items():
        if str(own.get(_BLOCK, "false")) == "true":
            yield outside("limits of the index", f"{index}: {_BLOCK} blocks every search", "lift the block")
        window = int(own.get("index.max_result_window", settings.depth))
        if window < settings.depth:
            yield warning(
                "limits of the index",
                f"{index}: index.max_result_window is {window}, lists are asked for to {settings.depth}",
                f"{flag_of('depth')} {window}",
            )
        for name, (least, why) in _LEAST.items():
            if int(own.get(name, least)) < least:
                yield warning("limits of the index", f"{index}: {name} is {own[name]}; {why}", f"raise it to {least}")
