"""The user's filter: OpenSearch query JSON or a Haystack filter, distinguished by their structure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from haystack_crossalign.errors import ExternalError, InputError
from haystack_crossalign.files.reading import parse_json
from haystack_crossalign.opensearch.index.pool import IndexView

_ALLOWED = (
    'an OpenSearch query such as {"term": {"tenant": "a"}}, or a Haystack filter such as '
    '{"field": "meta.tenant", "operator": "==", "value": "a"}; as text or in a file'
)


def read_filter(value: str, *, source: str = "--filter") -> dict[str, Any]:
    """Convert a filter to an OpenSearch query.

    A Haystack filter is recognized by its ``operator``; no OpenSearch query has a top-level key of that name.

    :param value: JSON, or the name of a file with it.
    :param source: its origin, for messages.
    :raises InputError: if it is neither.
    """
    text = value.strip()
    if not text.startswith("{"):
        path = Path(value)
        source = str(path)
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise InputError("neither JSON nor a file", source="--filter", seen=value, allowed=_ALLOWED) from None
        except OSError as error:
            raise ExternalError(f"{path}: cannot be read ({error.strerror})") from error
        except UnicodeDecodeError:
            raise InputError("not UTF-8", source=path, allowed=_ALLOWED) from None
    try:
        content = parse_json(text, Path(source), None)
    except InputError as error:
        raise InputError(f"not JSON as needed: {error.problem}", source=source, seen=text, allowed=_ALLOWED) from None
    if not isinstance(content, dict) or not content:
        raise InputError("no filter", source=source, seen=content, allowed=_ALLOWED)
    if "operator" in content:
        return _from_haystack(content, source)
    if len(content) != 1:
        raise InputError(
            "an OpenSearch query has one key, its kind", source=source, seen=sorted(content), allowed=_ALLOWED
        )
    return content


def _from_haystack(content: dict[str, Any], source: str) -> dict[str, Any]:
    from haystack.errors import FilterError
    from haystack_integrations.document_stores.opensearch.filters import normalize_filters

    try:
        query: dict[str, Any] = normalize_filters(content)
    except (FilterError, KeyError, TypeError, ValueError, AttributeError) as error:
        # The integration looks up operators in a table and does not check the types of values.
        raise InputError(f"not a Haystack filter: {error}", source=source, seen=content, allowed=_ALLOWED) from error
    return query


def check_filter(view: IndexView, index: str) -> None:
    """Reject a filter of the user that leaves nothing, before anything else is said of an empty pool.

    :param view: the index with its filter; without one nothing is checked.
    :param index: its name.
    :raises InputError: if no document matches.
    """
    if view.user_filter is None or (pool := view.pool()).documents or pool.without_vector:
        return
    raise InputError(
        f"matches none of the {view.client.count(index):,} documents of the index",
        source="--filter",
        seen=json.dumps(view.user_filter, ensure_ascii=False),
        allowed="a filter that some documents pass; a text is compared with a field as the mapping stores it (often "
        "its .keyword)",
    )
