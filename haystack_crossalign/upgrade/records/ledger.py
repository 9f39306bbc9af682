"""The ledger of upgrades: an index of the cluster, so that several machines share it and any of them may die.

Every document is changed by compare-and-set on its sequence number, so that only one of two concurrent changes
succeeds. It is read in real time, never by a search, which would lag behind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from haystack_crossalign.errors import CrossAlignError, ExternalError, InputError
from haystack_crossalign.opensearch.connection.failures import MissingPermissionError, RefusedRequestError
from haystack_crossalign.upgrade.writes.writer import WriteClient, escaped

_SETTINGS = {"index.hidden": True, "number_of_shards": 1, "auto_expand_replicas": "0-1", "refresh_interval": "5s"}


@dataclass(frozen=True)
class Entry:
    """A document of the ledger as it was read.

    :param identifier: its id.
    :param data: its content.
    :param sequence: sequence number and primary term, for the next change.
    """

    identifier: str
    data: dict[str, Any]
    sequence: tuple[int, int]


class LedgerGoneError(ExternalError):
    """The ledger or an entry was deleted by somebody else."""


class Ledger:
    """Reads and changes the ledger's documents.

    :param client: whose grant names the ledger's index.
    """

    def __init__(self, client: WriteClient) -> None:
        self.client = client
        self.index = client.grant.ledger

    def create(self) -> None:
        """Create the index where it is missing.

        :raises ExternalError: an index of its name is there that was not made here.
        """
        try:
            body = {"settings": _SETTINGS, "mappings": {"enabled": False}}
            self.client.request("PUT", f"/{escaped(self.index)}", body=body)
        except RefusedRequestError as error:
            if "resource_already_exists" not in str(error) and "already exists" not in str(error):
                raise
            self._is_ours()

    def _is_ours(self) -> None:
        """Reject an index that the server created automatically for a write after our index was deleted."""
        path = f"/{escaped(self.index)}/_mapping"
        try:
            mappings = [index_answer["mappings"] for index_answer in self.client.request("GET", path).values()]
        except MissingPermissionError:
            return
        if any(mapping.get("enabled") is not False for mapping in mappings):
            raise ExternalError(
                f"{self.client.host}: the index '{self.index}' is not the ledger that upgrades make: it was deleted "
                "while one ran, and made again without its mapping. Delete it and the new index that was being filled "
                "(its mapping has _meta.crossalign.upgrade, and no alias points to it), then begin anew"
            )

    def read(self, identifier: str) -> Entry | None:
        """A document as it is now; None if there is none."""
        try:
            answer = self.client.request("GET", self._path("_doc", identifier))
        except CrossAlignError as error:
            if is_missing(error):
                return None
            raise
        return _entry(answer)

    def read_all(self, identifiers: Sequence[str]) -> dict[str, Entry]:
        """Those of some documents that exist, by id."""
        if not identifiers:
            return {}
        answer = self.client.request("POST", f"/{escaped(self.index)}/_mget", body={"ids": list(identifiers)})
        entries = (_entry(index_answer) for index_answer in answer.get("docs", []))
        return {entry.identifier: entry for entry in entries if entry is not None}

    def add(self, identifier: str, data: Mapping[str, Any]) -> Entry | None:
        """Write a new document; None if a different one already exists."""
        try:
            answer = self.client.request("PUT", self._path("_create", identifier), body=dict(data))
        except RefusedRequestError as error:
            return self._settled(identifier, data, error)
        return Entry(identifier, dict(data), (answer["_seq_no"], answer["_primary_term"]))

    def change(self, entry: Entry, data: Mapping[str, Any]) -> Entry | None:
        """Replace the content of an entry; None if somebody else changed it in between."""
        sequence, term = entry.sequence
        parameters = {"if_seq_no": str(sequence), "if_primary_term": str(term)}
        try:
            answer = self.client.request(
                "PUT", self._path("_doc", entry.identifier), parameters=parameters, body=dict(data)
            )
        except RefusedRequestError as error:
            return self._settled(entry.identifier, data, error)
        return Entry(entry.identifier, dict(data), (answer["_seq_no"], answer["_primary_term"]))

    def _settled(self, identifier: str, data: Mapping[str, Any], error: RefusedRequestError) -> Entry | None:
        """After a conflict: the entry if the change was ours and only its response was lost; else None."""
        # 400: an index that the server made by itself guesses types from what comes first.
        if error.status not in (400, 409):
            raise error
        there = self.read(identifier)
        if there is None:
            raise LedgerGoneError(
                f"{self.client.host}: '{identifier}' is gone from the ledger '{self.index}': somebody else deleted it "
                "while the upgrade ran, which cannot go on; nothing was switched after that"
            )
        if error.status != 409:
            raise error
        return there if there.data == data else None

    def _path(self, action: str, identifier: str) -> str:
        return f"/{escaped(self.index)}/{action}/{escaped(identifier)}"


def is_missing(error: CrossAlignError) -> bool:
    """Whether a read failed because the document or the index does not exist."""
    if isinstance(error, RefusedRequestError):
        return error.status == 404
    return isinstance(error, InputError) and error.source == "index"


def _entry(answer: Mapping[str, Any]) -> Entry | None:
    if not answer.get("found"):
        return None
    return Entry(str(answer["_id"]), dict(answer["_source"]), (answer["_seq_no"], answer["_primary_term"]))
