"""The rank table of queries whose ranks were counted here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from haystack_crossalign.opensearch.exact.counting import reasons_without_rank
from haystack_crossalign.opensearch.exact.ranked import Counted, TableBuilder, Unranked
from haystack_crossalign.opensearch.exact.versions import Version, unranked_versions
from haystack_crossalign.opensearch.index.pool import IndexView
from haystack_crossalign.opensearch.local.counting import LocalRanks


def counted_locally(
    view: IndexView,
    local: LocalRanks,
    relevant: Sequence[Sequence[str]] | Sequence[Sequence[Version]],
    *,
    query_languages: Sequence[str],
    by_language: Mapping[str, int],
) -> Counted:
    """What the server's counts would give, see `haystack_crossalign.opensearch.exact.counting.count_ranks`.

    :param view: the pool.
    :param local: ranks of some queries.
    :param relevant: their relevant documents by name, or their relevant versions.
    :param query_languages: their normalized languages.
    :param by_language: versions of the pool by language.
    :raises ExternalError: if the cluster fails.
    """
    builder = TableBuilder(
        [len(row) for row in relevant],
        query_languages=query_languages,
        pool_languages=tuple(by_language),
        top_language=True,
    )
    builder.fill(0, local.ranked, local.tops)
    missing = [
        (query, document)
        for query, (row, ranked) in enumerate(zip(relevant, local.ranked, strict=True))
        for document, version in zip(row, ranked, strict=True)
        if version is None
    ]
    versions = [(query, document) for query, document in missing if isinstance(document, Version)]
    names = [(query, document) for query, document in missing if isinstance(document, str)]
    reasons = reasons_without_rank(view, {name for _, name in names})
    unranked = [Unranked(query, name, reasons[name]) for query, name in names]
    if versions:
        unranked += unranked_versions(view, versions)
    return Counted(builder.table(sum(by_language.values())), tuple(unranked))
