"""Build the result of an audit of an index."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from haystack_crossalign.audit.assemble import RankedRow, assemble_result
from haystack_crossalign.audit.result import AuditResult
from haystack_crossalign.measures import Measure
from haystack_crossalign.opensearch.audit.parallel import parallel_block
from haystack_crossalign.opensearch.audit.records import Record, relevant_part
from haystack_crossalign.opensearch.audit.rows import ShownFields, Texts, task_rows
from haystack_crossalign.opensearch.audit.tasks import Task
from haystack_crossalign.opensearch.audit.units import Measurer
from haystack_crossalign.opensearch.exact.ranked import WITHOUT_VECTOR
from haystack_crossalign.opensearch.index.pool import IndexView
from haystack_crossalign.opensearch.index.undetermined import detect_missing_languages
from haystack_crossalign.opensearch.live.lists import KnnRetrieval, Retrieval

_MOST_UNRANKED = 100
_MOST_REPEATED = 10


@dataclass(frozen=True, eq=False)
class Work:
    """The measurements.

    :param tasks: pools and their queries.
    :param measurers: one for each task.
    :param records: for each task the records by position of the query within it.
    :param view: the part of the index that matches the user's filter.
    :param shown: what is shown of a document.
    :param stopped: whether the audit was stopped, after which no further requests are sent.
    """

    tasks: Sequence[Task]
    measurers: Sequence[Measurer]
    records: Sequence[Mapping[int, Record]]
    view: IndexView
    shown: ShownFields
    stopped: bool


def build_result(
    work: Work,
    *,
    shown: Mapping[str, str],
    options_top: int,
    count: str,
    sample: float | None,
    samples: int,
    seed: int,
    measures: Sequence[Measure] | None,
    also: Sequence[Measure],
    provenance: Mapping[str, Any],
) -> AuditResult:
    """The result of an audit, with what was missing in its ``live`` block.

    :param work: what was measured.
    :param shown: what the result calls documents, by their names.
    :param options_top: k of recall, rank correlation and exposure.
    :param count: what ranks in lists count.
    :param sample: share of the pool that was scored.
    :param samples: bootstrap samples.
    :param seed: of the bootstrap.
    :param measures: measures; None for the default ones.
    :param also: measures besides.
    :param provenance: what the result was made with.
    """
    texts = Texts(work.view, work.shown, shown)
    if work.stopped:
        texts.failure = "the audit was stopped"

    def rows() -> Iterator[RankedRow]:
        for task, measurer, records in zip(work.tasks, work.measurers, work.records, strict=True):
            yield from task_rows(
                task,
                records,
                retrievals=[retrieval.name for retrieval in measurer.retrievals],
                pool_languages=measurer.pool_languages,
                pool_size=measurer.pool_size,
                listed_pools={retrieval.name: measurer.listed_pool(retrieval) for retrieval in measurer.retrievals},
                count=count,
                texts=texts,
                top=options_top,
                sample=sample,
                samples=samples,
                seed=seed,
            )

    pool = work.view.pool()
    live = {
        "pool": {
            "documents": pool.documents,
            "by_language": dict(pool.by_language),
            "without_vector": pool.without_vector,
            "without_language": pool.without_language,
        },
        "languages_detected": None if work.stopped else _detected(work.view, work.shown.text, seed),
        "retrievals": [retrieval.provenance() for retrieval in _retrievals(work)],
        "unranked": _unranked(work, texts),
        "parallel": _parallel(work, options_top, count),
    }
    if repeated := _repeated(work, texts, count):
        live["repeated"] = repeated
    if merged := _merged(work, count):
        live["merged"] = merged
    return assemble_result(
        rows(), provenance=provenance, measures=measures, also=also, samples=samples, seed=seed, live=live
    )


def rows_without_ranks(work: Work) -> list[str]:
    """Sentences, with reasons, on rows whose queries were measured but none of whose relevant documents has a rank.

    :param work: what was measured.
    """
    sentences = []
    for task, records in zip(work.tasks, work.records, strict=True):
        for scenario in task.scenarios:
            own = [
                record for place, record in records.items() if task.queries.languages[place] == scenario.query_language
            ]
            level = task.queries.relevance_level
            parts = [record.get("exact") or next(iter(record["live"].values())) for record in own]
            if own and not any(relevant_part(part, level)["versions"] for part in parts):
                counts = Counter(reason for record in own for _, reason in record["unranked"])
                reasons = ", ".join(f"{number} {reason}" for reason, number in sorted(counts.items()))
                sentences.append(
                    f"scenario {scenario.name}, queries in {scenario.query_language}: no relevant document has a rank "
                    f"({reasons}), so that this row has no figures"
                )
    return sentences


def lists_without_documents(work: Work) -> list[str]:
    """The lists that hold no document for any query, as sentences: most often a field that does not exist is searched.

    :param work: what was measured.
    """
    sentences = []
    for retrieval in _retrievals(work):
        shown = [
            record["live"][retrieval.name]["shown"]
            for records in work.records
            for record in records.values()
            if retrieval.name in record.get("live", {})
        ]
        if shown and not any(shown):
            sentences.append(
                f"the lists of '{retrieval.name}' hold no document for any of {len(shown)} queries: check the fields "
                "that it searches"
            )
    return sentences


def documents_without_links(url_field: str | None, documents: Mapping[str, Mapping[str, str]]) -> list[str]:
    """A sentence if no document of a result has a link, though a field for it was named.

    :param url_field: the field.
    :param documents: ``documents`` of the result.
    """
    if url_field is None or not documents or any("url" in entry for entry in documents.values()):
        return []
    return [f"no document that the result names has a text in field '{url_field}', so there are no links"]


def _detected(view: IndexView, content_field: str, seed: int) -> dict[str, Any] | None:
    sample = detect_missing_languages(view, content_field=content_field, seed=seed)
    if sample is None:
        return None
    return {
        "documents": sample.documents,
        "sampled": sample.sampled,
        "by_language": dict(sample.by_language),
        "between": dict(sample.between),
        "note": sample.note,
    }


def mentioned_documents(work: Work) -> Iterator[str]:
    """The names of all documents that a result may mention.

    :param work: what was measured.
    """
    for task, records in zip(work.tasks, work.records, strict=True):
        yield from chain.from_iterable(task.queries.judged)
        for record in records.values():
            for part in ({"shown": record["shown"]}, *record.get("live", {}).values()):
                yield from (hit[0] for hit in part["shown"] or ())
                yield from part.get("repeated", ())


def _unranked(work: Work, texts: Texts) -> dict[str, Any]:
    """Relevant documents or versions without a rank: numbers by reason, and the names of the first ones."""
    counts: Counter[str] = Counter()
    shown: list[dict[str, str]] = []
    for task, records in zip(work.tasks, work.records, strict=True):
        for place in sorted(records):
            for name, reason in records[place]["unranked"]:
                counts[reason] += 1
                if len(shown) < _MOST_UNRANKED:
                    shown.append({"query": task.queries.ids[place], "name": texts.shown(name), "reason": reason})
    counted = [one.name for one in _retrievals(work) if not isinstance(one, KnnRetrieval)]
    return {
        "count": counts.total(),
        "reasons": dict(sorted(counts.items())),
        "first": shown,
        **({"counted_in": counted} if counts[WITHOUT_VECTOR] and counted else {}),
    }


def _retrievals(work: Work) -> list[Retrieval]:
    """All lists by name, from the first pool that has them, since some are requested only for the whole index."""
    by_name: dict[str, Retrieval] = {}
    for measurer in work.measurers:
        for retrieval in measurer.retrievals:
            by_name.setdefault(retrieval.name, retrieval)
    return list(by_name.values())


def _merged(work: Work, count: str) -> list[dict[str, Any]]:
    """Of the longest lists of each retrieval, their length and the fewest versions that one holds, if these differ."""
    entries: list[dict[str, Any]] = []
    for retrieval in _retrievals(work):
        held = [
            record["live"][retrieval.name]["held"]
            for records in work.records
            for record in records.values()
            if "held" in record.get("live", {}).get(retrieval.name, {})
        ]
        longest = max((hits for hits, _ in held), default=0)
        fewest = min((versions for hits, versions in held if hits == longest), default=longest)
        if fewest < longest:
            entries.append({"retrieval": retrieval.name, "hits": longest, "versions": fewest, "counted": count})
    return entries


def _repeated(work: Work, texts: Texts, count: str) -> list[dict[str, Any]]:
    """The lists with duplicate documents: numbers of queries, and the first of the documents."""
    entries: list[dict[str, Any]] = []
    for retrieval in _retrievals(work):
        held = [
            {"query": task.queries.ids[place], "document": texts.shown(name), "times": times}
            for task, records in zip(work.tasks, work.records, strict=True)
            for place in sorted(records)
            for name, times in records[place].get("live", {}).get(retrieval.name, {}).get("repeated", {}).items()
        ]
        if held:
            entries.append(
                {
                    "retrieval": retrieval.name,
                    "queries": len({entry["query"] for entry in held}),
                    "documents": len(held),
                    "first": held[:_MOST_REPEATED],
                    **({"counted": count} if count == "hits" else {}),
                }
            )
    return entries


def _parallel(work: Work, top: int, count: str) -> list[dict[str, Any]]:
    for task, measurer, records in zip(work.tasks, work.measurers, work.records, strict=True):
        if task.scenarios[0].name == "multi" and records:
            return parallel_block(
                task,
                records,
                retrievals=[retrieval.name for retrieval in measurer.retrievals],
                by_language=measurer.by_language,
                listed=measurer.listed_by_language,
                top=top,
                by_version=count == "versions",
            )
    return []
