"""Describe how an index's default search pipeline affects the lists that users get, for the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from haystack_crossalign.errors import CrossAlignError
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient

_PARTS = ("request_processors", "response_processors", "phase_results_processors")
_FILTER = "filter_query"


def pipeline_notes(client: ReadOnlyClient, named: Mapping[str, str], indices: Sequence[str]) -> list[str]:
    """Sentences about the default search pipelines; empty if no index has one.

    Ranks are counted among all documents that match the user's filter. A pipeline with a ``filter_query`` hides some of
    them from users, which is reported; ``--filter`` can apply the same condition.

    :param client: connection; without permission to read a pipeline's definition, its effect is not described.
    :param named: default search pipeline of each index that has one.
    :param indices: names of all indices.
    """
    notes = []
    for name in sorted(set(named.values())):
        processors = _processors(client, name)
        description = "its definition could not be read" if processors is None else ", ".join(processors) or "empty"
        where = ", ".join(f"'{index}'" for index, pipeline in named.items() if pipeline == name)
        note = (
            f"searches of {where} pass through the default search pipeline '{name}' ({description}): the lists that "
            "users get do, and those shown here; exact ranks are counted without it"
        )
        if processors is not None and _FILTER in processors:
            note += (
                f"; its {_FILTER} hides documents from users that exact ranks count: repeat it with --filter to rank "
                "among what users can see"
            )
        notes.append(note)
    if named and (len(set(named.values())) > 1 or len(named) < len(indices)):
        each = ", ".join(f"'{index}': {named.get(index, 'none')}" for index in indices)
        notes.append(
            f"the indices have different default search pipelines ({each}): the server applies one of them, or none, "
            "to a search of all"
        )
    return notes


def _processors(client: ReadOnlyClient, name: str) -> list[str] | None:
    """Types of a pipeline's processors in order; None if it cannot be read."""
    try:
        definition = client.search_pipeline(name)
    except CrossAlignError:
        # It is a cluster permission, and no figure depends on it.
        return None
    return [
        str(kind)
        for part in _PARTS
        for processor in definition.get(part) or ()
        if isinstance(processor, dict)
        for kind in processor
    ]
