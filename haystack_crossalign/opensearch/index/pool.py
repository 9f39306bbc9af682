"""The pool of an audit: the documents of an index that match a filter, by language, and those that cannot be ranked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from operator import itemgetter
from typing import Any, Literal

from haystack_crossalign.errors import InputError
from haystack_crossalign.languages import UNDETERMINED
from haystack_crossalign.opensearch.connection.client import Answer, ReadOnlyClient
from haystack_crossalign.opensearch.connection.failures import ContradictionError
from haystack_crossalign.opensearch.connection.point_in_time import PointInTime
from haystack_crossalign.opensearch.index.fields import NO_VECTORS, Fields
from haystack_crossalign.opensearch.index.names import DocumentNames
from haystack_crossalign.opensearch.index.scoring import ExactScoring, Query

MULTIPLE = "mul"
"""Tag (ISO 639-2) of documents with several languages: of no single one, they count as a language of their own."""

MAX_LANGUAGES = 1000
"""Most different values the language field may have; more of them means that it holds something else."""


@dataclass(frozen=True)
class Pool:
    """Numbers of documents in the pool.

    :param documents: number of documents with a vector that match the filter.
    :param by_language: number of them by normalized language, sorted by tag; `UNDETERMINED` for those without one.
    :param without_vector: number of documents that match the filter but have no vector, so that vector search cannot
        find them.
    """

    documents: int
    by_language: Mapping[str, int]
    without_vector: int

    @property
    def several_languages(self) -> int:
        """Number of documents with several languages."""
        return self.by_language.get(MULTIPLE, 0)

    @property
    def without_language(self) -> int:
        """Number of documents whose language is not known."""
        return self.by_language.get(UNDETERMINED, 0)


class _Tags(dict[str | None, str]):
    """Cache of tags by value.

    :param tag: returns the tag of a value.
    """

    def __init__(self, tag: Callable[[str | None], str]) -> None:
        super().__init__()
        self._tag = tag

    def __missing__(self, value: str | None) -> str:
        self[value] = self._tag(value)
        return self[value]


class IndexView:
    """An index as seen by an audit: its fields, the user's filter, and the point in time.

    :param client: connection.
    :param target: index or alias, or a point in time of it.
    :param fields: what to read, from `haystack_crossalign.opensearch.index.fields.read_fields`.
    :param user_filter: OpenSearch query that the pool's documents match.
    :param language_of: converts a value of the language field to a normalized tag; by default unchanged.
    """

    def __init__(
        self,
        client: ReadOnlyClient,
        target: str | PointInTime,
        fields: Fields,
        *,
        user_filter: Query | None = None,
        language_of: Callable[[str], str] = str,
    ) -> None:
        self.client = client
        self.target = target
        self.fields = fields
        self.names = DocumentNames(fields.indices)
        self.user_filter = user_filter
        self.scoring = ExactScoring(fields.vector, user_filter)
        self._language_of = language_of
        self._tags: dict[str, str] = {}
        self._hit_tags = _Tags(self.tag)
        self._pool: Pool | None = None
        self._several = False

    def without_vectors(self) -> IndexView:
        """The same index and filter, for reading documents whether they have a vector or not."""
        fields = replace(self.fields, vector=NO_VECTORS, has_neighbors=False)
        return IndexView(self.client, self.target, fields, user_filter=self.user_filter, language_of=self._language_of)

    def pool(self) -> Pool:
        """The pool; asked for once."""
        if self._pool is None:
            rest = {"size": 0, "track_total_hits": True, "query": self.scoring.without_vector()}
            answer, lacking = self.client.search_all([self._counting_body(), rest], self.target)
            documents = int(answer["hits"]["total"]["value"])
            if not self._counts_each_once(answer, documents):
                # Some have several languages. The script that counts them once is slower, so it is used only if needed.
                self._several = True
                answer = self.client.search(self._counting_body(), self.target)
                documents = int(answer["hits"]["total"]["value"])
            counts = self.language_counts(answer.get("aggregations", {}), documents)
            self._pool = Pool(documents, dict(sorted(counts.items())), int(lacking["hits"]["total"]["value"]))
        return self._pool

    def _counting_body(self) -> dict[str, Any]:
        return {"size": 0, "track_total_hits": True, "query": self.scoring.pool(), "aggs": self.by_language()}

    def _counts_each_once(self, answer: Answer, documents: int) -> bool:
        if self.fields.language is None:
            return True
        counted = answer["aggregations"]["languages"]
        # If values are left out, the sum is meaningless; `language_counts` rejects that.
        return bool(counted["sum_other_doc_count"]) or documents == sum(
            int(bucket["doc_count"]) for bucket in counted.get("buckets", ())
        )

    @property
    def several(self) -> bool:
        """Whether documents of the pool have several languages."""
        self.pool()
        return self._several

    def by_language(self, **more: Any) -> dict[str, Any]:
        """Aggregation that splits documents by language; `language_counts` reads its answer.

        :param more: aggregations inside of it.
        """
        if self.fields.language is None:
            return {}
        # The default size of 10 would drop languages silently.
        terms = {**self._language_values(), "size": MAX_LANGUAGES}
        return {"languages": {"terms": terms} | ({"aggs": more} if more else {})}

    def _language_values(self) -> dict[str, Any]:
        field = self.fields.counting(self.fields.language or "")
        if self._several or field.flat is not None:
            return field.one_value(missing=UNDETERMINED, several=MULTIPLE)
        return {"field": field.name, "missing": UNDETERMINED}

    def language_source(self) -> dict[str, Any]:
        """The same as one source of a composite aggregation."""
        values = self._language_values()
        return values if self.several or "script" in values else {"field": values["field"], "missing_bucket": True}

    def language_counts(self, aggregations: Answer, documents: int) -> dict[str, int]:
        """Documents by normalized language, from the response to `by_language`.

        :param aggregations: the aggregations of the response.
        :param documents: number of documents, to check the sum.
        :raises InputError: if there are too many languages.
        """
        if self.fields.language is None:
            return {UNDETERMINED: documents} if documents else {}
        answer = aggregations["languages"]
        field = self.fields.language
        if answer["sum_other_doc_count"] or answer.get("doc_count_error_upper_bound", 0):
            raise InputError(
                "holds too many different values to be the language", field=field, allowed=f"up to {MAX_LANGUAGES}"
            )
        counts: dict[str, int] = {}
        for bucket in answer.get("buckets", ()):
            tag = self.tag(bucket["key"])
            counts[tag] = counts.get(tag, 0) + int(bucket["doc_count"])
        if sum(counts.values()) != documents:
            raise self.vanished(f"{sum(counts.values())} languages of {documents} documents")
        return counts

    def tag(self, value: str | None) -> str:
        """Normalized tag of a value of the language field; None and empty mean no language."""
        value = self.fields.constants.get(value or "", value)
        if value is None or value in {"", UNDETERMINED}:
            return UNDETERMINED
        if value == MULTIPLE:
            return MULTIPLE
        if value not in self._tags:
            self._tags[value] = self._language_of(value)
        return self._tags[value]

    def values_of(self, tag: str) -> tuple[str, ...]:
        """Values of the language field in the pool that map to a normalized tag, sorted."""
        self.pool()
        values = {value for value, known in self._tags.items() if known == tag}
        return tuple(sorted(values | {self.fields.constants.get(value, value) for value in values}))

    def hit_language(self, hit: Answer) -> str:
        """Normalized language of a hit whose language field was requested (see `hit_fields`)."""
        values = self._values(hit, self.fields.language)
        return MULTIPLE if len(values) > 1 else self.tag(values[0] if values else None)

    def hit_group(self, hit: Answer) -> str | None:
        """Parallel group of a hit, or None if it has none or an empty one."""
        values = self._values(hit, self.fields.group)
        if len(values) > 1:
            raise InputError(
                f"document '{self.names.of(hit)}' has several values; it must have one",
                field=self.fields.group,
                seen=values,
            )
        return (values[0] if values else None) or None

    @property
    def lean(self) -> Literal["ids", "ids and indices"]:
        """What names a document in result lists, for `ReadOnlyClient.search_all`."""
        return "ids and indices" if self.names.with_index else "ids"

    def single_values(self, hits: Sequence[Answer]) -> tuple[list[str], list[str | None]] | None:
        """Languages and groups of many hits: what `hit_language` and `hit_group` give for each, in far less time.

        :param hits: as they were answered, with `hit_fields`.
        :returns: None if a hit has several values of a field.
        """
        languages, groups = self._single(hits, self.fields.language), self._single(hits, self.fields.group)
        if languages is None or groups is None:
            return None
        return [*map(self._hit_tags.__getitem__, languages)], [group or None for group in groups]

    @staticmethod
    def _single(hits: Sequence[Answer], field: str | None) -> Sequence[str | None] | None:
        """The value of a field in each hit, None in one that has none; None in place of all if one has several."""
        if field is None:
            return [None] * len(hits)
        try:
            lists = [*map(itemgetter(field), map(itemgetter("fields"), hits))]
        except (KeyError, TypeError):
            held = [hit.get("fields", {}) for hit in hits]
            if {*map(type, held)} != {dict}:
                return None
            lists = [fields.get(field, []) for fields in held]
        if not {*map(type, lists)} <= {list} or not {*map(len, lists)} <= {0, 1}:
            return None
        if [] in lists:
            return [str(values[0]) if values else None for values in lists]
        values = [*chain.from_iterable(lists)]
        return values if {*map(type, values)} <= {str} else [*map(str, values)]

    def hit_fields(self) -> dict[str, Any]:
        """Fields to request of hits: language and group, without the stored document."""
        wanted = [field for field in (self.fields.language, self.fields.group) if field is not None]
        return {"_source": False, "docvalue_fields": wanted}

    @staticmethod
    def _values(hit: Answer, field: str | None) -> list[str]:
        """Distinct values of a requested field."""
        return list(dict.fromkeys(str(value) for value in hit.get("fields", {}).get(field, ())))

    def vanished(self, what: str) -> ContradictionError:
        """The error for contradictory numbers: the index or a score changed in between."""
        return ContradictionError(
            f"{what}: the index changed while it was read, or the server rounded a score another way the second time; "
            "use a point in time, or start again"
        )
