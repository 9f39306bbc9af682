"""The fields of a keyword search, with optional boosts."""

from __future__ import annotations

import re
from collections.abc import Sequence

from haystack_crossalign.errors import InputError
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.index.mapped_fields import flatten_mapping

_FIELD = re.compile(r"(?P<name>[^\s^,]+)(?:\^(?P<boost>\d+\.?\d*|\.\d+))?")
_ALLOWED = "names of fields with boosts, such as 'title^2,body'"


def check_text_fields(fields: Sequence[str], *, source: str = "--live-fields") -> None:
    """Reject invalid field names.

    :param fields: such as ``title^2``.
    :param source: their option, for messages.
    :raises InputError: naming the first.
    """
    for field in fields:
        match = _FIELD.fullmatch(field)
        if match is None or (match["boost"] is not None and not float(match["boost"])):
            raise InputError("not a field to search", source=source, seen=field, allowed=_ALLOWED)


def require_text_fields(
    client: ReadOnlyClient, index: str, fields: Sequence[str], *, source: str = "--live-fields"
) -> None:
    """Reject fields that no index has, which a server would silently search without finding anything.

    :param client: connection.
    :param index: index or alias.
    :param fields: such as ``title^2``; names with ``*`` are left to the server.
    :param source: option they come from, for messages.
    :raises InputError: naming the first that is missing.
    """
    known = {
        name
        for mapping in client.mapping(index).values()
        for name, field in flatten_mapping(mapping.get("mappings", {}).get("properties", {}))
        if field.definition.get("type") not in (None, "object", "nested", "knn_vector")
    }
    for field in fields:
        name = field.partition("^")[0]
        if "*" not in name and name not in known:
            raise InputError("no such field in the mapping", source=source, seen=name, allowed=", ".join(sorted(known)))
