"""Allowed writes of an upgrade, checked for every request before it is sent.

It is an allow-list: creating and filling the upgrade's own index in the ledger, the ledger itself, the write block of
the old index, and the aliases of both. Every other request is rejected.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from haystack_crossalign.opensearch.connection.read_only import WriteRefusedError

LEDGER = "crossalign-ledger"
"""The index that keeps what upgrades have done."""

UNBLOCK = {"index.blocks.write": None}
"""What lifts the write block of an index; the only setting of the old index that may be changed."""

_DOCUMENT_PARAMETERS = frozenset({"if_seq_no", "if_primary_term", "refresh", "realtime"})
_PATH = re.compile(r"/([^/?#]+)(?:/(_[a-z_]+)(?:/([^/?#]+))?)?")


@dataclass(frozen=True)
class _Asked:
    """One request to an index: ``/index``, ``/index/_action`` or ``/index/_action/rest``."""

    method: str
    action: str | None = None
    rest: str | None = None
    given: frozenset[str] = frozenset()
    body: object = None

    @property
    def request(self) -> tuple[str, str | None]:
        """Method and action."""
        return self.method, self.action


@dataclass(frozen=True)
class Grant:
    """The writes that are allowed now. Names are those of indices, never aliases or patterns.

    :param target: the new index: it may be created, filled and set up.
    :param source: the old index: it may be refreshed, blocked for writes and freed again.
    :param aliases: names that may move between the two.
    :param delete: indices that may be deleted.
    :param fill_source: whether documents may be written to the old index, for a rollback that carries them over.
    :param ledger: the ledger's index.
    """

    target: str | None = None
    source: str | None = None
    aliases: frozenset[str] = frozenset()
    delete: frozenset[str] = field(default=frozenset())
    fill_source: bool = False
    ledger: str = LEDGER

    def check(self, method: str, path: str, parameters: Collection[str], body: object) -> str:
        """Name of the allowed write that a request is.

        :param method: HTTP method.
        :param path: path without host and query string.
        :param parameters: names of the query parameters.
        :param body: text or bytes as they are sent, or None.
        :raises WriteRefusedError: the request is not on the list.
        """
        name: str | None = None
        if method == "POST" and path == "/_aliases" and not parameters:
            name = "switch aliases" if self._are_ours(_read(body)) else None
        elif (match := _PATH.fullmatch(path)) and ".." not in path:
            asked = _Asked(method, match[2], match[3], frozenset(parameters), body)
            index = unquote(match[1])
            grants = [self._of_ledger(asked)] if index == self.ledger else []
            grants += [self._of_target(asked)] if index == self.target else []
            grants += [self._of_source(asked)] if index == self.source else []
            grants += ["delete index"] if index in self.delete and asked == _Asked("DELETE") else []
            name = next((grant for grant in grants if grant), None)
        if name is None:
            raise WriteRefusedError(f"refused to send {method} {path}: it is not among the writes of this upgrade")
        return name

    def _of_ledger(self, asked: _Asked) -> str | None:
        if not asked.given <= _DOCUMENT_PARAMETERS:
            return None
        if asked.rest is None:
            return {
                ("PUT", None): "create ledger",
                ("POST", "_mget"): "read ledger",
                ("GET", "_mapping"): "read ledger",
            }.get(asked.request)
        if asked.request == ("GET", "_doc"):
            return "read ledger"
        return "write ledger" if asked.request in {("PUT", "_doc"), ("PUT", "_create")} else None

    def _of_target(self, asked: _Asked) -> str | None:
        if asked.given:
            return None
        if asked.rest is not None:
            return "write block" if (*asked.request, asked.rest) == ("PUT", "_block", "write") else None
        if asked.request == ("POST", "_bulk"):
            return "bulk" if is_plain_bulk(asked.body) else None
        if asked.request == ("PUT", "_mapping"):
            # The description of the model is set only when the index is created.
            body = _read(asked.body)
            return "fields of the old index" if body and "_meta" not in body else None
        named = {("PUT", None): "create index", ("PUT", "_settings"): "settings", ("POST", "_refresh"): "refresh"}
        return named.get(asked.request)

    def _of_source(self, asked: _Asked) -> str | None:
        if asked.given:
            return None
        if asked.rest is not None:
            return "write block" if (*asked.request, asked.rest) == ("PUT", "_block", "write") else None
        if asked.request == ("PUT", "_settings"):
            return "lift write block" if _read(asked.body) == UNBLOCK else None
        if asked.request == ("POST", "_bulk"):
            return "bulk" if self.fill_source and is_plain_bulk(asked.body) else None
        return "refresh" if asked.request == ("POST", "_refresh") else None

    def _are_ours(self, body: Mapping[str, Any]) -> bool:
        actions = body.get("actions")
        if set(body) != {"actions"} or not isinstance(actions, list) or not actions:
            return False
        for action in actions:
            if not isinstance(action, Mapping) or len(action) != 1:
                return False
            ((kind, one),) = action.items()
            if kind not in {"add", "remove"} or not isinstance(one, Mapping):
                return False
            if one.get("index") not in {self.source, self.target} or one.get("alias") not in self.aliases:
                return False
            if "indices" in one or "aliases" in one:
                return False
        return None not in {self.source, self.target}


def is_plain_bulk(body: object) -> bool:
    """Whether all actions of a bulk request write to the index of its path, without their own pipeline."""
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body
    if not isinstance(text, str) or not text.endswith("\n"):
        return False
    lines = iter(text[:-1].split("\n"))
    for line in lines:
        action = _read(line)
        if len(action) != 1:
            return False
        ((kind, one),) = action.items()
        if kind not in {"index", "delete"} or not isinstance(one, Mapping) or "_index" in one:
            return False
        if one.get("pipeline", "_none") != "_none":
            return False
        if kind == "index" and next(lines, None) is None:
            return False
    return True


def _read(body: object) -> dict[str, Any]:
    try:
        value = json.loads(body) if isinstance(body, str | bytes) else body
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
