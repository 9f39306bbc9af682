"""Check the structure of a server's responses before they are used.

A proxy, a captive portal, another product or a damaged server may respond with anything. Every part of a response that
this package uses is checked for its type; an error names the part that is wrong.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

from opensearchpy import JSONSerializer

from haystack_crossalign.errors import ExternalError
from haystack_crossalign.messages import shown
from haystack_crossalign.redaction import redacted

_BUCKETS = frozenset({"terms", "composite", "filters", "range", "multi_terms", "histogram", "date_histogram"})
_BUCKET = frozenset({"filter", "nested", "reverse_nested", "missing", "global", "sampler", "diversified_sampler"})
_VALUE = frozenset({"cardinality", "value_count", "max", "min", "sum", "avg"})
_SMALL_LISTS_LEFT_OUT = "counts"
"""Within this aggregation the server drops lists that are empty, see `_LEFT_OUT` of the client."""


@contextmanager
def paused_collector() -> Iterator[None]:
    """Without Python's search for unreachable cycles, which costs more than to parse a long answer.

    Every few hundred new objects set it off, and JSON holds no cycles. It should go on until the answer was read and is
    dropped, else all of its objects are searched once. Threads may overlap: whoever found the collector on switches it
    on again.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class AnswerSerializer(JSONSerializer):
    """opensearch-py's serializer, with `paused_collector` while an answer is parsed."""

    def loads(self, s: str) -> Any:
        """The value of a JSON text.

        :raises opensearchpy.exceptions.SerializationError: it is none.
        """
        with paused_collector():
            return super().loads(s)


class AnswerCheck:
    """Checks the answers to one request.

    :param host: address, for messages.
    :param request: method and path, for messages.
    """

    def __init__(self, host: str, request: str) -> None:
        self._host = host
        self._request = request

    def refuse(self, place: str, value: object, expected: str) -> NoReturn:
        """Raise the error that names a part of the response.

        :raises ExternalError: always.
        """
        seen = "is missing" if value is None else f"is {redacted(shown(value))}"
        raise ExternalError(
            f"{self._host}: the answer to {self._request} is not that of an OpenSearch: '{place}' {seen}, "
            f"expected {expected}"
        )

    def mapping(self, value: object, place: str) -> dict[str, Any]:
        """The value, which must be an object."""
        if not isinstance(value, dict):
            self.refuse(place, value, "an object")
        return value

    def items(self, value: object, place: str) -> list[Any]:
        """The value, which must be a list."""
        if not isinstance(value, list):
            self.refuse(place, value, "a list")
        return value

    def whole(self, value: object, place: str, *, least: int = 0) -> int:
        """The value, which must be a whole number."""
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value < 2**63:
            self.refuse(place, value, f"a whole number, {least} or more")
        return value

    def text(self, value: object, place: str) -> str:
        """The value, which must be a text."""
        if not isinstance(value, str):
            self.refuse(place, value, "a text")
        return value

    def number(self, value: object, place: str) -> None:
        """Refuse what is not a finite number and not null."""
        if value is None:
            return
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            self.refuse(place, value, "a number")

    def by_index(self, answer: object, part: str, check: Callable[[dict[str, Any], str], None] | None = None) -> None:
        """An answer with an object ``part`` for each index."""
        for name, entry in self.mapping(answer, "answer").items():
            place = f"{name}.{part}"
            held = self.mapping(self.mapping(entry, name).get(part), place)
            if check is not None:
                check(held, place)

    def fields(self, mapping: dict[str, Any], place: str) -> None:
        """The mapping of an index: fields at any depth."""
        pending = [(mapping, place)]
        while pending:
            held, where = pending.pop()
            for part in ("properties", "fields"):
                for name, entry in self.mapping(held.get(part, {}), f"{where}.{part}").items():
                    inner = f"{where}.{part}.{name}"
                    field = self.mapping(entry, inner)
                    if "type" in field:
                        self.text(field["type"], f"{inner}.type")
                    if "dimension" in field:
                        self.whole(field["dimension"], f"{inner}.dimension", least=1)
                    for key in ("method", "meta"):
                        if key in field:
                            self.mapping(field[key], f"{inner}.{key}")
                    pending.append((field, inner))
        if "_meta" in mapping:
            self.mapping(mapping["_meta"], f"{place}._meta")

    def statistics(self, answer: dict[str, Any]) -> None:
        """Numbers of documents and sequence numbers."""
        for name, entry in self.mapping(answer.get("indices"), "indices").items():
            place = f"indices.{name}"
            index = self.mapping(entry, place)
            documents = self.mapping(self.mapping(index.get("primaries"), f"{place}.primaries").get("docs", {}), place)
            self.whole(documents.get("count", 0), f"{place}.primaries.docs.count")
            for shard, copies in self.mapping(index.get("shards", {}), f"{place}.shards").items():
                where = f"{place}.shards.{shard}"
                for copy in self.items(copies, where):
                    numbers = self.mapping(self.mapping(copy, where).get("seq_no", {}), f"{where}.seq_no")
                    self.whole(numbers.get("max_seq_no", -1), f"{where}.seq_no.max_seq_no", least=-2)

    def lean_search(self, answer: dict[str, Any], place: str) -> None:
        """Check the response to a search whose hits are checked later, with `hits`.

        A server that is asked to leave out parts of hits also leaves out an empty list of hits.
        """
        hits = answer.get("hits")
        if isinstance(hits, dict) and isinstance(hits.get("hits"), list):
            return
        where = f"{place}.hits"
        held = self.mapping(hits, where)
        if held.get("max_score") is None:
            held.setdefault("hits", [])
        self.items(held.get("hits"), f"{where}.hits")

    def search(self, body: Mapping[str, Any], answer: dict[str, Any], place: str) -> None:
        """Check the response to a search: hits, and every requested aggregation.

        :param body: the search.
        :param answer: its response, without an error.
        :param place: its position, for messages.
        """
        self._hits(answer.get("hits"), f"{place}.hits", counted=body.get("track_total_hits") is True)
        asked = body.get("aggs") or body.get("aggregations") or {}
        if asked:
            self._aggregations(asked, answer.get("aggregations"), f"{place}.aggregations", lenient=False)

    def _hits(self, value: object, place: str, *, counted: bool) -> None:
        held = self.mapping(value, place)
        if counted or "total" in held:
            total = self.mapping(held.get("total"), f"{place}.total")
            self.whole(total.get("value"), f"{place}.total.value")
        self.hits(held.get("hits"), f"{place}.hits")

    def hits(self, value: object, place: str) -> None:
        """A list of hits: objects with an id and optionally score, fields and stored document."""
        for number, entry in enumerate(self.items(value, place)):
            where = f"{place}.{number}"
            hit = self.mapping(entry, where)
            self.text(hit.get("_id"), f"{where}._id")
            self.number(hit.get("_score"), f"{where}._score")
            for part in ("_source", "fields"):
                if part in hit:
                    self.mapping(hit[part], f"{where}.{part}")
            if "sort" in hit:
                self.items(hit["sort"], f"{where}.sort")

    def _aggregations(self, asked: Mapping[str, Any], value: object, place: str, *, lenient: bool) -> None:
        held = self.mapping(value, place)
        for name, request in asked.items():
            where = f"{place}.{name}"
            if lenient and name not in held:
                continue
            answer = self.mapping(held.get(name), where)
            inner = request.get("aggs") or request.get("aggregations") or {}
            kinds = set(request)
            if kinds & _VALUE:
                self.number(answer.get("value", ...), f"{where}.value")
            elif "top_hits" in kinds:
                self._hits(answer.get("hits"), f"{where}.hits", counted=False)
            elif kinds & _BUCKET:
                self._bucket(inner, answer, where, lenient=lenient)
            elif kinds & _BUCKETS:
                self._buckets(inner, answer, where, kinds, lenient=lenient or name == _SMALL_LISTS_LEFT_OUT)

    def _buckets(
        self, inner: Mapping[str, Any], answer: dict[str, Any], place: str, kinds: set[str], *, lenient: bool
    ) -> None:
        buckets = answer.get("buckets", [] if lenient else None)
        if isinstance(buckets, dict):
            for key, bucket in buckets.items():
                self._bucket(inner, self.mapping(bucket, f"{place}.buckets.{key}"), f"{place}.buckets", lenient=lenient)
            return
        for bucket in self.items(buckets, f"{place}.buckets"):
            entry = self.mapping(bucket, f"{place}.buckets")
            key = entry.get("key")
            if key is None or (isinstance(key, list | dict) and not kinds & {"composite", "multi_terms"}):
                self.refuse(f"{place}.buckets.key", key, "a key")
            if "composite" in kinds:
                self.mapping(key, f"{place}.buckets.key")
            self._bucket(inner, entry, f"{place}.buckets", lenient=lenient)
        if "terms" in kinds and not lenient:
            self.whole(answer.get("sum_other_doc_count"), f"{place}.sum_other_doc_count")
            self.whole(answer.get("doc_count_error_upper_bound", 0), f"{place}.doc_count_error_upper_bound", least=-1)
        if answer.get("after_key") is not None:
            self.mapping(answer["after_key"], f"{place}.after_key")

    def _bucket(self, inner: Mapping[str, Any], bucket: dict[str, Any], place: str, *, lenient: bool) -> None:
        self.whole(bucket.get("doc_count"), f"{place}.doc_count")
        if inner:
            self._aggregations(inner, bucket, place, lenient=lenient)
