"""Check the permissions that an upgrade needs, before anything is written.

The security plugin checks permissions before a request is processed. So a request that cannot succeed, since it names
an index, a setting or a version that does not exist, still shows whether the user may send it, and changes nothing if
so.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from haystack_crossalign.errors import InputError
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.connection.failures import (
    ROLE_PAGE,
    MissingPermissionError,
    RefusedRequestError,
    explain_answer,
)
from haystack_crossalign.opensearch.connection.read_only import WriteRefusedError
from haystack_crossalign.opensearch.doctor.cluster import examine_cluster
from haystack_crossalign.upgrade.writes.grants import LEDGER, Grant
from haystack_crossalign.upgrade.writes.writer import WriteClient, escaped

_NO_VERSION = 2**62
"""Sequence number and primary term that no document has."""

_NO_DOCUMENT = {"if_seq_no": str(_NO_VERSION), "if_primary_term": str(_NO_VERSION)}
_NO_SETTING = '{"index.crossalign_rights": 1}'
_NO_SHARDS = '{"settings": {"index.number_of_shards": 0}}'
_NO_FIELDS = '{"properties": {}}'
_ONE_ID = '{"ids": ["rights"]}'
_ALIAS_ONLY = {"require_alias": "true"}
_ONE_DOCUMENT = '{"index": {"_id": "rights"}}\n{}\n'


@dataclass(frozen=True)
class MissingRight:
    """A permission that the user lacks.

    :param permission: as the security plugin names it.
    :param index: on which index, None for the cluster.
    :param purpose: what needs it.
    :param reads: whether the plan itself needs it.
    :param optional: whether an upgrade can do without.
    """

    permission: str
    index: str | None
    purpose: str
    reads: bool = False
    optional: bool = False

    def told(self) -> str:
        """In words."""
        where = "" if self.index is None else f" on '{self.index}'"
        return f"'{self.permission}'{where} ({self.purpose})"


@dataclass(frozen=True)
class Attempt:
    """A request that cannot succeed.

    :param index: the index whose right it is about, None for the cluster.
    :param purpose: what an upgrade sends such a request for.
    :param method: HTTP method.
    :param path: path.
    :param body: JSON, or the lines of a bulk request.
    :param parameters: query parameters.
    :param optional: whether an upgrade can do without the right.
    """

    index: str | None
    purpose: str
    method: str
    path: str
    body: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    optional: bool = False


@dataclass(frozen=True)
class AttemptGrant(Grant):
    """Lets pass some attempts, to the letter, and nothing else.

    :param attempts: these.
    """

    attempts: tuple[Attempt, ...] = ()

    def check(self, method: str, path: str, parameters: Collection[str], body: object) -> str:
        """Purpose of the attempt that a request is.

        :raises WriteRefusedError: it is none.
        """
        text = body.decode() if isinstance(body, bytes) else body
        for attempt in self.attempts:
            if (method, path, set(parameters), text) == (
                attempt.method,
                attempt.path,
                set(attempt.parameters),
                attempt.body,
            ):
                return attempt.purpose
        raise WriteRefusedError(f"refused to send {method} {path}: it is no attempt that finds out about a right")


def write_attempts(source: str | None, target: str, nobodys: str) -> list[Attempt]:
    """What tells whether the new index may be made and filled, and the alias switched.

    :param source: the old index; None if it is not known.
    :param target: name that the new index is to have, for messages.
    :param nobodys: name of no index, which a pattern for the new index matches.
    """
    new = f"/{escaped(nobodys)}"
    attempts = [
        Attempt(target, "making the new index", "PUT", new, _NO_SHARDS),
        Attempt(target, "fields that come while it is filled", "PUT", f"{new}/_mapping", _NO_FIELDS),
        Attempt(target, "refreshing, replicas and pipelines", "PUT", f"{new}/_settings", _NO_SETTING),
        Attempt(None, "writing documents", "POST", f"{new}/_bulk", _ONE_DOCUMENT, _ALIAS_ONLY),
        Attempt(target, "writing documents", "PUT", f"{new}/_doc/rights", "{}", _ALIAS_ONLY | _NO_DOCUMENT),
        Attempt(target, "deletes that come while it is filled", "DELETE", f"{new}/_doc/rights", None, _NO_DOCUMENT),
        Attempt(target, "the last pass", "POST", f"{new}/_refresh"),
        Attempt(target, "blocking writes for the last pass", "PUT", f"{new}/_block/write"),
        Attempt(target, "the switch", "POST", "/_aliases", _alias_action("add", nobodys, nobodys)),
        Attempt(target, "crossalign cleanup", "DELETE", new, optional=True),
    ]
    if source is not None:
        old = f"/{escaped(source)}"
        attempts += [
            Attempt(source, "lifting the write block", "PUT", f"{old}/_settings", _NO_SETTING),
            Attempt(source, "the last pass", "POST", f"{old}/_refresh"),
            Attempt(source, "the switch", "POST", "/_aliases", _alias_action("remove", source, nobodys)),
            # No index action: it would pass through the index's ingest pipelines before anything refuses it.
            Attempt(
                source, "a rollback", "DELETE", f"{old}/_doc/{escaped(nobodys)}", None, {"routing": "r"} | _NO_DOCUMENT
            ),
        ]
    return attempts


def ledger_attempts(ledger: str = LEDGER) -> list[Attempt]:
    """What tells whether the ledger may be made, read and written.

    The shards of an index that is not there are not asked, so that a ledger that was just made is tried once more.

    :param ledger: its index.
    """
    path = f"/{escaped(ledger)}"
    return [
        Attempt(ledger, "making the ledger", "PUT", path, _NO_SHARDS),
        Attempt(ledger, "the ledger", "GET", f"{path}/_mapping"),
        Attempt(ledger, "the ledger", "GET", f"{path}/_doc/rights"),
        Attempt(None, "the ledger", "POST", f"{path}/_mget", _ONE_ID),
        Attempt(ledger, "the ledger", "PUT", f"{path}/_doc/rights", "{}", _ALIAS_ONLY | _NO_DOCUMENT),
    ]


def shard_attempts(ledger: str = LEDGER) -> list[Attempt]:
    """What only the shards of a ledger that is there tell.

    :param ledger: its index.
    """
    path = f"/{escaped(ledger)}"
    return [
        Attempt(ledger, "the ledger", "POST", f"{path}/_mget", _ONE_ID),
        Attempt(ledger, "the ledger", "PUT", f"{path}/_doc/rights", "{}", _NO_DOCUMENT),
    ]


def missing_rights(reader: ReadOnlyClient, alias: str, source: str | None, target: str) -> tuple[MissingRight, ...]:
    """Each right of the documented role that the user lacks, as far as it can be found out without writing.

    :param reader: connection.
    :param alias: the alias.
    :param source: the old index; None if it is not known.
    :param target: name that the new index is to have.
    """
    nobodys = f"{target}-{secrets.token_hex(8)}"
    _, reads = examine_cluster(reader, alias)
    cluster = ("cluster:", "indices:data/read/msearch")
    missing = [
        MissingRight(name, None if name.startswith(cluster) else alias, purpose, reads=True)
        for name, purpose in reads.missing.items()
    ]
    known = set(reads.missing)
    missing += [right for right in _missing_reads(reader, target, nobodys) if right.permission not in known]
    attempts = [*write_attempts(source, target, nobodys), *ledger_attempts()]
    return _distinct([*missing, *_missing(reader, attempts)])


def missing_ledger_rights(reader: ReadOnlyClient) -> tuple[MissingRight, ...]:
    """Rights that the user lacks on a ledger that is there.

    :param reader: connection.
    """
    return _distinct(_missing(reader, shard_attempts()))


def require_rights(reader: ReadOnlyClient, missing: Sequence[MissingRight]) -> None:
    """Stop where a right is missing that an upgrade needs.

    :param reader: connection, for its address.
    :param missing: what `missing_rights` gave.
    :raises MissingPermissionError: naming each of them.
    """
    needed = [right for right in missing if not right.optional]
    if needed:
        raise MissingPermissionError(
            f"{reader.hosts[0]}: the user lacks {len(needed)} permission{'s' if len(needed) > 1 else ''} that an "
            f"upgrade needs: {', '.join(right.told() for right in needed)}; see {ROLE_PAGE}",
            tuple(dict.fromkeys(right.permission for right in needed)),
        )


def _alias_action(kind: str, index: str, alias: str) -> str:
    action = {"index": index, "alias": alias} | ({"must_exist": True} if kind == "remove" else {})
    return json.dumps({"actions": [{kind: action}]})


def _missing_reads(reader: ReadOnlyClient, target: str, nobodys: str) -> Iterator[MissingRight]:
    """What may not be read of the new index."""
    for read in (reader.mapping, reader.settings, reader.aliases, reader.stats, reader.count):
        try:
            read(nobodys)
        except MissingPermissionError as error:
            for name in error.permissions or (str(error),):
                yield MissingRight(name, target, "verifying the new index", reads=True)
        except (InputError, RefusedRequestError):
            continue  # there is no such index, as it should be


def _missing(reader: ReadOnlyClient, attempts: Sequence[Attempt]) -> Iterator[MissingRight]:
    client = WriteClient(reader, AttemptGrant(attempts=tuple(attempts)))
    try:
        for attempt in attempts:
            for name in _refused(client, attempt):
                yield MissingRight(name, attempt.index, attempt.purpose, optional=attempt.optional)
    finally:
        client.close()


def _refused(client: WriteClient, attempt: Attempt) -> tuple[str, ...]:
    """Permissions without which the attempt was refused."""
    try:
        answer = client.request(attempt.method, attempt.path, parameters=attempt.parameters, body=attempt.body)
        for error in _item_errors(answer):
            raise explain_answer(403, error, request=f"{attempt.method} {attempt.path}", host=client.host)
    except MissingPermissionError as error:
        return error.permissions or (f"{attempt.method} {attempt.path}",)
    except (InputError, RefusedRequestError):
        return ()
    return ()


def _item_errors(answer: Mapping[str, Any]) -> Iterator[object]:
    """Errors of a bulk request's items, or of the documents of a multi-get, that are about rights."""
    items = [*answer.get("docs", []), *(value for item in answer.get("items", []) for value in item.values())]
    for item in items:
        error = item.get("error")
        if isinstance(error, Mapping) and error.get("type") == "security_exception":
            yield error


def _distinct(rights: Sequence[MissingRight] | Iterator[MissingRight]) -> tuple[MissingRight, ...]:
    """Each permission once for each index, with the first purpose."""
    first: dict[tuple[str, str | None], MissingRight] = {}
    for right in rights:
        first.setdefault((right.permission, right.index), right)
    return tuple(first.values())
