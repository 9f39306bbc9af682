"""Read and write judgment lists and query sets of OpenSearch's Search Relevance Workbench.

A judgment list is the body of ``PUT _plugins/_search_relevance/judgments``, as documented for "Importing judgments"
(https://docs.opensearch.org/latest/search-plugins/search-relevance/judgments/)::

    {"name": "…", "description": "…", "type": "IMPORT_JUDGMENT",
     "judgmentRatings": [{"query": "red dress", "ratings": [{"docId": "B077ZJXCTS", "rating": "3.000"}]}]}

``GET`` returns it in the ``_source`` of a hit; both forms are read. Judgments refer to the *text* of a query, which has
no id and no language. A query set is the body of ``PUT _plugins/_search_relevance/query_sets``
(https://docs.opensearch.org/latest/search-plugins/search-relevance/query-sets/). The limits on names, descriptions and
query texts are those of the plugin's ``TextValidationUtil``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from haystack_crossalign.data.collection import JudgedCollection, Queries
from haystack_crossalign.data.judgments import Judgment, Qrels
from haystack_crossalign.data.reading_log import ReadingLog
from haystack_crossalign.errors import InputError
from haystack_crossalign.files.compressed import plain_name
from haystack_crossalign.files.reading import Source, read_json_object
from haystack_crossalign.files.records import Record

_TYPE = "IMPORT_JUDGMENT"
_LONGEST_NAME, _LONGEST_DESCRIPTION, _LONGEST_QUERY = 50, 250, 2000
_REFUSED = frozenset('"\\<>')


@dataclass(frozen=True)
class JudgmentList:
    """A judgment list as read.

    :param name: its name.
    :param ratings: for each query text its (document id, rating) pairs, in the order of the file.
    :param path: the file.
    :param source: its name and hash.
    """

    name: str
    ratings: tuple[tuple[str, tuple[tuple[str, float], ...]], ...]
    path: Path
    source: Source


@dataclass(frozen=True)
class QuerySet:
    """A query set, and what the Workbench would not accept.

    :param text: the JSON of the request.
    :param left_out: ids of the queries whose texts it rejects (quotation marks, backslashes, ``<``, ``>``, line ends,
        more than 2,000 characters).
    """

    text: str
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class Merged:
    """Queries that become one in a judgment list, which knows queries by their texts alone.

    :param queries: ids of the judged queries that share their text with another, in their order.
    :param texts: number of different texts among them.
    :param conflicts: for each document that they give different grades, its id and the query that first graded it.
    """

    queries: tuple[str, ...]
    texts: int
    conflicts: tuple[tuple[str, str], ...]


def merged_queries(collection: JudgedCollection) -> Merged:
    """Find the queries that `format_judgments` merges because they share a text.

    :param collection: queries and judgments.
    """
    shared: dict[str, list[int]] = {}
    for number, text in enumerate(collection.queries.texts):
        shared.setdefault(text, []).append(number)
    groups = [group for group in shared.values() if len(group) > 1 and any(map(collection.judged, group))]
    conflicts: dict[tuple[int, int], None] = {}
    for group in groups:
        first: dict[int, int] = {}
        for number in group:
            for index, grade in collection.judged(number).items():
                before = first.setdefault(index, number)
                if collection.judged(before)[index] != grade:
                    conflicts[index, before] = None
    ids = collection.queries.ids
    return Merged(
        queries=tuple([ids[number] for number in sorted(number for group in groups for number in group)]),
        texts=len(groups),
        conflicts=tuple([(collection.documents.ids[index], ids[number]) for index, number in conflicts]),
    )


def format_judgments(collection: JudgedCollection, *, name: str | None = None, description: str = "") -> str:
    """Format a judgment list as JSON: every judged document of every query with its grade as rating.

    Queries with the same text become one query with the judged documents of all of them, each with its highest grade,
    see `merged_queries`.

    :param collection: queries and judgments.
    :param name: name of the list, at most 50 characters; the collection's if it is None.
    :param description: at most 250 characters.
    :raises InputError: for a name or description that the Workbench rejects.
    """
    ratings: dict[str, dict[str, int | float]] = {}
    for query, text in enumerate(collection.queries.texts):
        rated = ratings.setdefault(text, {})
        for index, grade in collection.judged(query).items():
            document = collection.documents.ids[index]
            rated[document] = max(grade, rated.get(document, grade))
    return _dump(
        _heading(collection.name if name is None else name, description)
        | {
            "type": _TYPE,
            "judgmentRatings": [
                {
                    "query": text,
                    "ratings": [
                        {"docId": document, "rating": _written(value)} for document, value in sorted(rated.items())
                    ],
                }
                for text, rated in ratings.items()
                if rated
            ],
        }
    )


def format_query_set(queries: Queries, *, name: str, description: str = "") -> QuerySet:
    """Format a query set as JSON: every distinct query text that the Workbench accepts.

    :param queries: the queries.
    :param name: name of the set, at most 50 characters.
    :param description: at most 250 characters.
    :raises InputError: for a name or description that the Workbench rejects, or if it accepts none of the queries.
    """
    taken: dict[str, None] = {}
    left_out = []
    for identifier, text in zip(queries.ids, queries.texts, strict=True):
        if _refusal(text, _LONGEST_QUERY) is None and not set(text) & {"\n", "\r"}:
            taken[text] = None
        else:
            left_out.append(identifier)
    if not taken:
        raise InputError(
            "the Search Relevance Workbench accepts none of the queries",
            field="queryText",
            seen=queries.texts[0] if queries.texts else "",
            allowed=_ALLOWED_QUERY,
        )
    body = _heading(name, description) | {
        "sampling": "manual",
        "querySetQueries": [{"queryText": text} for text in taken],
    }
    return QuerySet(_dump(body), tuple(left_out))


def read_judgments(path: str | Path, *, log: ReadingLog | None = None) -> JudgmentList:
    """Read a judgment list from a file: a request body, or the response of ``GET …/judgments/<id>``.

    :param path: the file.
    :param log: counts ratings that are left out.
    :raises InputError: for a file that cannot be read or holds no judgment list, for the first field that is missing or
        wrong, and for a document with two different ratings for a query.
    """
    log = log or ReadingLog()
    value, source = read_json_object(path)
    path = Path(path)
    record = _list_of(value, path)
    ratings: dict[str, tuple[tuple[str, float], ...]] = {}
    for entry in record.objects("judgmentRatings"):
        query = entry.text("query")
        if query in ratings:
            raise entry.error("duplicate query", "query", query, "each query text once")
        rated: dict[str, float] = {}
        for item in entry.objects("ratings"):
            try:
                document, rating = item.identifier("docId"), _rating(item)
                if rated.get(document, rating) != rating:
                    raise item.error(
                        "document rated twice",
                        "docId",
                        document,
                        "one rating for each query and document",
                    )
            except InputError as error:
                log.refuse("judgment", error, reason=error.problem, name=item.prefix.rstrip("."))
                continue
            if document in rated:
                log.leave_out("judgment", "repeated with the same grade", item.prefix.rstrip("."))
            rated[document] = rating
        ratings[query] = tuple(rated.items())
    name = record.optional_text("name") or plain_name(path).stem
    return JudgmentList(name=name, ratings=tuple(ratings.items()), path=path, source=source)


def judgments_as_qrels(judgments: JudgmentList, queries: Queries, *, log: ReadingLog | None = None) -> Qrels:
    """Find the judgments of queries by their texts. Ratings become grades; those of other queries are left out.

    :param judgments: the list.
    :param queries: the queries; several with the same text all get its judgments.
    :param log: counts ratings that are left out.
    :raises InputError: if no query of the list is among ``queries``.
    """
    log = log or ReadingLog()
    ids: dict[str, list[str]] = {}
    for query_id, text in zip(queries.ids, queries.texts, strict=True):
        ids.setdefault(text, []).append(query_id)
    judged = []
    if not any(text in ids for text, _ in judgments.ratings):
        raise InputError(
            "unknown query: none of the judged queries is among the queries",
            source=judgments.path,
            field="query",
            seen=judgments.ratings[0][0],
            allowed="the text of a query of the collection",
        )
    for number, (text, rated) in enumerate(judgments.ratings):
        for document, rating in rated:
            grade = int(rating) if rating.is_integer() else rating
            judged += [Judgment(query=query, document=document, grade=grade, line=0) for query in ids.get(text, ())]
            if text not in ids:
                # By number, because it appears in results that must not contain texts.
                log.leave_out("judgment", "query not among the queries", f"judgmentRatings[{number}]")
    return Qrels(judgments=tuple(judged), path=judgments.path, source=judgments.source)


def _written(rating: float) -> str:
    """A rating as written by the Workbench: with at least three decimals."""
    return f"{rating:.3f}" if round(rating, 3) == rating else repr(rating)


_ALLOWED_QUERY = f"at most {_LONGEST_QUERY} characters on one line, without quotation marks, backslashes, '<' and '>'"


def _list_of(value: Mapping[str, object], path: Path) -> Record:
    """Extract the judgment list from a stored document or a search response."""
    hits = value.get("hits")
    if isinstance(hits, Mapping):
        hit_list = hits.get("hits")
        if not isinstance(hit_list, Sequence) or len(hit_list) != 1 or not isinstance(hit_list[0], Mapping):
            raise InputError(
                "not one judgment list",
                source=path,
                field="hits.hits",
                seen=len(hit_list) if isinstance(hit_list, Sequence) else hit_list,
                allowed="the answer for one judgment list",
            )
        value = hit_list[0]
    inner = value.get("_source")
    return Record(inner if isinstance(inner, Mapping) else value, path)


def _rating(item: Record) -> float:
    value = item.get("rating")
    allowed = 'a number, or a text that is one, such as "3.000"'
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise item.error("not a rating", "rating", ... if value is None else value, allowed)
    try:
        rating = float(value)
    except (ValueError, OverflowError):
        rating = math.nan
    if not math.isfinite(rating):
        raise item.error("not a rating", "rating", value, allowed)
    return rating


def _heading(name: str, description: str) -> dict[str, object]:
    heading: dict[str, object] = {}
    for field, text, longest in (("name", name, _LONGEST_NAME), ("description", description, _LONGEST_DESCRIPTION)):
        if field == "description" and not text:
            continue
        if (problem := _refusal(text, longest)) is not None:
            raise InputError(
                f"the Search Relevance Workbench refuses it: {problem}",
                field=field,
                seen=text,
                allowed=f"1 to {longest} characters without quotation marks, backslashes, '<' and '>'",
            )
        heading[field] = text
    return heading


def _refusal(text: str, longest: int) -> str | None:
    if not text:
        return "it is empty"
    if len(text) > longest:
        return f"it has {len(text)} characters"
    return "it holds a character that is not allowed" if _REFUSED & set(text) else None


def _dump(value: Mapping[str, object]) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"
