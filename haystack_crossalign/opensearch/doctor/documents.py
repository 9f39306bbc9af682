"""The examination of an index's documents: counts of vectors, languages and parallel groups, without reading
documents.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from haystack_crossalign.errors import CrossAlignError, InputError
from haystack_crossalign.languages import UNDETERMINED
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.doctor.findings import Finding, failed, ok, warning
from haystack_crossalign.opensearch.index.buckets import by_version
from haystack_crossalign.opensearch.index.fields import Fields
from haystack_crossalign.opensearch.index.ignored_values import ignored_values
from haystack_crossalign.opensearch.index.language_map import LanguageMap
from haystack_crossalign.opensearch.index.pool import MULTIPLE, IndexView, Pool
from haystack_crossalign.opensearch.index.shared_ids import shared_ids

MOST_GROUPS = 20_000
"""Pairs of group and language that are looked at; of an index with more of them, the first groups in order."""

_PAGE = 2_000
_SHOWN = 12


def examine_documents(
    client: ReadOnlyClient, index: str, fields: Fields, languages: LanguageMap | None = None
) -> Iterator[Finding]:
    """Count, and try one exact score.

    :param client: connection.
    :param index: index or alias.
    :param fields: what to count by.
    :param languages: what values of the language field stand for.
    """
    languages = languages or LanguageMap()
    view = IndexView(client, index, fields)
    try:
        pool = view.pool()
    except CrossAlignError as error:
        yield failed("documents", error, hosts=client.hosts)
        return
    if pool.documents == 0:
        yield failed(
            "documents",
            f"no document has a vector in '{fields.vector.name}', of {pool.without_vector}"
            if fields.has_vectors
            else "the index is empty",
            "index documents with vectors, or name another field: --embedding-field",
        )
        return
    yield ok("documents", f"{pool.documents:,}" + (" with a vector" if fields.has_vectors else ""))
    if pool.without_vector:
        yield warning(
            "without vector",
            f"{pool.without_vector:,} of {pool.documents + pool.without_vector:,} documents have no vector",
            "no vector search finds them; embed them, or leave them out on purpose",
        )
    if len(fields.indices) > 1:
        try:
            shared = shared_ids(view)
            yield (
                ok("ids", "no id of a sample is held by two of the indices")
                if shared is None
                else warning("ids", shared.told(), "only judgments by document ids are concerned (--queries, --qrels)")
            )
        except CrossAlignError as error:
            yield failed("ids", error, hosts=client.hosts)
    if fields.has_vectors:
        yield _exact_score(view)
    if fields.language is not None:
        yield from _languages(pool, fields.language, languages)
    if fields.group is not None:
        yield from _groups(view, pool, fields.group, languages)
    yield from _ignored(view)


def _ignored(view: IndexView) -> Iterator[Finding]:
    try:
        for values in ignored_values(view):
            yield warning(
                "ignored values",
                values.told(),
                "write values that the mapping takes, or index into a mapping that takes them",
            )
    except CrossAlignError as error:
        yield failed("ignored values", error, hosts=view.client.hosts)


def _exact_score(view: IndexView) -> Finding:
    """Score one document, not all, to avoid load on the cluster."""
    unit = [1.0] + [0.0] * (view.fields.vector.numbers - 1)
    first = {"size": 1, "track_total_hits": False, "_source": False, "query": view.scoring.pool()}
    try:
        hits = view.client.search(first, view.target)["hits"]["hits"]
        only = {"ids": {"values": [hit["_id"] for hit in hits]}}
        scored = {"size": 1, "_source": False, "query": view.scoring.scored(unit, only)}
        hits = view.client.search(scored, view.target)["hits"]["hits"]
    except CrossAlignError as error:
        return failed(
            "exact scores", error, "the k-NN plugin must be there, with scripts allowed", hosts=view.client.hosts
        )
    if not hits:
        return warning("exact scores", "the document that was to be scored is gone", "the index changes; try again")
    return ok("exact scores", "the k-NN script scores a document")


def _languages(pool: Pool, field: str, languages: LanguageMap) -> Iterator[Finding]:
    tags: Counter[str] = Counter()
    unknown: dict[str, int] = {}
    for value, documents in pool.by_language.items():
        if value == UNDETERMINED:
            continue
        try:
            tags[value if value == MULTIPLE else languages.tag(value)] += documents
        except InputError:
            unknown[value] = documents
    shown = [f"{tag} {documents:,}" for tag, documents in sorted(tags.items(), key=lambda item: (-item[1], item[0]))]
    listed = ", ".join(shown[:_SHOWN]) + (f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else "")
    if len(tags) > 1:
        yield ok("languages", listed)
    else:
        yield warning("languages", listed or "none", "with fewer than two languages there is nothing to compare")
    if unknown:
        named = ", ".join(f"'{value}' ({documents:,})" for value, documents in sorted(unknown.items())[:_SHOWN])
        yield warning(
            "language tags",
            f"no known language: {named}" + (f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""),
            f"these documents count as '{UNDETERMINED}'; write BCP-47 tags such as 'zh' or 'pt-BR' into '{field}'",
        )
    if pool.several_languages:
        yield warning(
            "several languages",
            f"{pool.several_languages:,} documents have several languages",
            f"an audit counts them as '{MULTIPLE}', a language of its own",
        )
    if pool.without_language:
        yield warning(
            "without language",
            f"{pool.without_language:,} documents have no language",
            f"an audit counts them as '{UNDETERMINED}'; detect the language when indexing (LanguageTagger)",
        )


def _groups(view: IndexView, pool: Pool, field: str, languages: LanguageMap) -> Iterator[Finding]:
    try:
        covered = view.client.search(
            {"size": 0, "track_total_hits": True, "query": view.scoring.pool({"exists": {"field": field}})}, view.target
        )
        groups, complete = _languages_by_group(view, languages)
    except CrossAlignError as error:
        yield failed("groups", error, hosts=view.client.hosts)
        return
    inside = int(covered["hits"]["total"]["value"])
    if not inside:
        yield warning(
            "groups",
            f"no document has a value in '{field}'",
            "without groups an audit needs judgments: --queries and --qrels",
        )
        return
    everywhere = set().union(*groups.values()) - {UNDETERMINED, MULTIPLE}
    whole = sum(everywhere <= languages for languages in groups.values())
    alone = sum(len(languages - {UNDETERMINED}) < 2 for languages in groups.values())
    partial = len(groups) - whole - alone if len(everywhere) > 1 else 0
    among = f"{len(groups):,} groups" if complete else f"the first {len(groups):,} groups"
    seen = f"{among}: {whole:,} in all {len(everywhere)} languages, {partial:,} in some, {alone:,} in one"
    if len(everywhere) < 2 or alone == len(groups):
        yield warning(
            "groups", seen, "no group joins two languages, so an audit needs judgments: --queries and --qrels"
        )
    elif partial or alone:
        yield warning("groups", seen, "a version that is missing counts neither for nor against a language")
    else:
        yield ok("groups", seen)
    if inside < pool.documents:
        yield warning(
            "without group",
            f"{pool.documents - inside:,} of {pool.documents:,} documents have no value in '{field}'",
            "each counts as a content of its own",
        )


def _languages_by_group(view: IndexView, mapped: LanguageMap) -> tuple[dict[str, set[str]], bool]:
    """Languages of the groups, and whether these are all groups."""
    name, aggregation = next(iter(by_version(view).items()))
    groups: dict[str, set[str]] = {}
    after: Mapping[str, Any] | None = None
    seen = 0
    while True:
        composite = aggregation["composite"] | {"size": _PAGE} | ({"after": after} if after else {})
        aggs = {name: {"composite": composite}}
        body = {"size": 0, "track_total_hits": False, "query": view.scoring.pool(), "aggs": aggs}
        answer = view.client.search(body, view.target)["aggregations"][name]
        for bucket in answer["buckets"]:
            languages = groups.setdefault(str(bucket["key"]["group"]), set())
            languages.add(_tag(mapped, bucket["key"].get("language")))
        seen += len(answer["buckets"])
        after = answer.get("after_key")
        if not after or len(answer["buckets"]) < _PAGE:
            return groups, True
        if seen >= MOST_GROUPS:
            # The last group may continue on the next page.
            groups.pop(str(after["group"]))
            return groups, False


def _tag(languages: LanguageMap, value: str | None) -> str:
    if value is None or value in {UNDETERMINED, MULTIPLE}:
        return value or UNDETERMINED
    try:
        return languages.tag(value)
    except InputError:
        return UNDETERMINED
