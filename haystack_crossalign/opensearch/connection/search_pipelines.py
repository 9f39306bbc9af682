"""Default search pipelines, which an index applies to every search without an explicit one.

Such a pipeline also affects searches without hits, multi-searches and searches in a point in time: it may cut or
collapse lists, rename fields, or add a filter. Exact counts must not pass through it. ``_none`` as ``search_pipeline``
in a search's body disables it without further permission, but not in the header of a multi-search. Servers before 2.18
reject ``_none``; there, searches are sent without it, and only if no index has such a pipeline.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from haystack_crossalign.errors import InputError
from haystack_crossalign.opensearch.connection.failures import RefusedRequestError

DEFAULT_PIPELINE = "index.search.default_pipeline"
NO_PIPELINE = "_none"
"""Name that stands for no pipeline, in a request and in an index's settings."""

_KEY = "search_pipeline"


def default_pipelines(settings: Mapping[str, Any]) -> dict[str, str]:
    """Name of the default search pipeline of each index that has one, in the order of their names.

    :param settings: settings by index with flat names, as `ReadOnlyClient.settings` returns them.
    """
    named = {
        index: str(answer["settings"].get(DEFAULT_PIPELINE, NO_PIPELINE)) for index, answer in sorted(settings.items())
    }
    return {index: pipeline for index, pipeline in named.items() if pipeline != NO_PIPELINE}


class SearchPipelines:
    """Leaves default search pipelines out of a client's searches."""

    def __init__(self) -> None:
        self.can_be_left_out = True
        self._without: set[str] = set()

    def left_out(self) -> dict[str, str]:
        """What a search's body says besides."""
        return {_KEY: NO_PIPELINE} if self.can_be_left_out else {}

    def is_not_understood(self, error: RefusedRequestError) -> bool:
        """Whether a server rejected a request because it does not support `left_out`."""
        return self.can_be_left_out and error.status == 400 and _KEY in str(error)

    def require_none(self, index: str, settings: Callable[[str], Mapping[str, Any]]) -> None:
        """Check that an index has no default search pipeline, on a server that cannot leave it out.

        :param index: index or alias.
        :param settings: gives its settings.
        :raises InputError: it has one.
        """
        self.can_be_left_out = False
        if index in self._without:
            return
        named = default_pipelines(settings(index))
        if named:
            name, pipeline = next(iter(named.items()))
            raise InputError(
                "this server cannot leave the index's default search pipeline out of single searches, so that exact "
                "numbers would pass through it",
                source=name,
                field=DEFAULT_PIPELINE,
                seen=pipeline,
                allowed="OpenSearch 2.18 or later, or an index without it",
            )
        self._without.add(index)
