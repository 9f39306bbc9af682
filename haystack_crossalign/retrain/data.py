"""Training triplets of a job: read from files and an index, mined if there are no groups, filtered and split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from haystack_crossalign.audit.run import Embedder
from haystack_crossalign.data.formats.jsonl import DocumentRow
from haystack_crossalign.data.formats.triplets import read_triplets
from haystack_crossalign.data.triplets import UNWANTED, Triplet, restricted
from haystack_crossalign.errors import InputError
from haystack_crossalign.files.reading import Source
from haystack_crossalign.repair.texts import RepairTexts, detected_format, read_repair_texts
from haystack_crossalign.retrain.config import FileSource, Filters, JobConfig, Mine
from haystack_crossalign.text.known_item import known_item
from haystack_crossalign.text.sentences import letters
from haystack_crossalign.triplets.builders import BuiltTriplets
from haystack_crossalign.triplets.filters import (
    Filter,
    ambiguous_queries,
    evaluation_overlap,
    language_mismatch,
    length_ratio,
    near_duplicates,
)
from haystack_crossalign.triplets.targets import evaluation_texts, filter_targets

_LEAST_LETTERS = 2  # of a query

Groups = dict[tuple[str, str], tuple[str, str]]
"""Source and text, by group and language."""


@dataclass(frozen=True)
class JobData:
    """The data that were read.

    :param documents: documents, parallel or to be mined.
    :param triplets: triplets from files.
    :param sources: the files, with their hashes.
    :param groups: state of `check_groups`.
    :param left_out: number left out by reason, if any.
    """

    documents: RepairTexts
    triplets: tuple[Triplet, ...]
    sources: tuple[Source, ...]
    groups: Groups
    left_out: Mapping[str, int]


def read_files(job: JobConfig, files: Sequence[FileSource], language: str, languages: Sequence[str]) -> JobData:
    """Read the files of a job.

    :param job: the job, whose folder is the base of relative paths.
    :param files: the files.
    :param language: language of the passages.
    :param languages: target languages; required for a corpus.
    :raises InputError: for the first missing or invalid value, with file, line and field.
    """
    passages: list[DocumentRow] = []
    known: Groups = {}
    triplets: list[Triplet] = []
    sources: list[Source] = []
    left_out: Counter[str] = Counter()
    for entry in files:
        path = job.file(entry.path)
        kind = detected_format(path) if entry.format == "auto" else entry.format
        if kind == "documents":
            texts = read_repair_texts(path, kind="documents")
            check_groups(texts.passages, str(path), "parallel_id", known)
            passages += texts.passages
            sources += texts.sources
            left_out["further passages of a group and language"] += texts.chunks
            continue
        if kind == "triplets":
            made, source = read_triplets(path, language=language, target_languages=languages)
        else:
            from haystack_crossalign.triplets.corpora import CORPORA as READERS

            if not languages:
                raise InputError("a corpus needs the target languages", source=path, field="languages")
            built, source = READERS[kind](path, languages)
            made = built.triplets
            left_out.update(built.left_out)
        wanted = restricted(made, language, languages)
        left_out[UNWANTED] += len(made) - len(wanted)
        triplets += wanted
        sources.append(source)
    counted = {reason: count for reason, count in left_out.items() if count}
    return JobData(RepairTexts(tuple(passages), (), ()), tuple(triplets), tuple(sources), known, counted)


def check_groups(passages: Iterable[DocumentRow], place: str, field: str, known: Groups) -> None:
    """Reject files (or an index) with clashing group ids, which would make unrelated documents look parallel.

    :param passages: the passages of the file or index.
    :param place: name of the file or the index.
    :param field: its group field.
    :param known: the passages of the others; these are added.
    :raises InputError: if a group has a different text in the same language elsewhere.
    """
    for passage in passages:
        other, text = known.setdefault((passage.group, passage.language), (place, passage.text))
        if other != place and text != passage.text:
            raise InputError(
                f"the group has another text in {passage.language} in {Path(other).name}", source=place, field=field,
                seen=passage.group, allowed="ids that differ from file to file, unless the documents are parallel",
            )  # fmt: skip


def triplets_from_documents(texts: RepairTexts, language: str, languages: Sequence[str]) -> BuiltTriplets:
    """Make a triplet of each group that has the language and one of the targets.

    The query is the title of the document, else its first sentence, which is then removed from it; the target query is
    made from the target's version. A version that is too short has no query.

    :param texts: parallel documents.
    :param language: of query and passage.
    :param languages: target languages; empty takes all others.
    """
    groups: dict[str, dict[str, DocumentRow]] = {}
    for passage in texts.passages:
        groups.setdefault(passage.group, {}).setdefault(passage.language, passage)
    triplets, lacking, short = [], 0, 0
    for group, versions in groups.items():
        tags = [tag for tag in (languages or sorted(versions)) if tag in versions and tag != language]
        if language not in versions or not tags:
            lacking += 1
            continue
        queries = {tag: _asked(versions[tag]) for tag in (language, *tags)}
        if not queries[language][0]:
            short += 1
            continue
        triplets.append(
            Triplet(
                id=group,
                group=group,
                language=language,
                query=queries[language][0],
                passage=queries[language][1],
                targets={tag: queries[tag][1] for tag in tags},
                target_queries={tag: queries[tag][0] for tag in tags if queries[tag][0]},
            )
        )
    return BuiltTriplets(
        tuple(triplets), {"groups that lack a language": lacking, "documents too short for a query": short}
    )


def mined_triplets(
    texts: RepairTexts, language: str, languages: Sequence[str], options: Mine, embedder: Embedder
) -> tuple[tuple[Triplet, ...], dict[str, Any]]:
    """Make triplets of documents that are mined as translations of each other.

    :param texts: documents without meaningful groups.
    :param language: the language with which the others are compared.
    :param languages: the others; empty for all.
    :param options: margin and number of neighbors.
    :param embedder: the model to repair or train.
    :returns: the triplets, and counts.
    :raises InputError: if a language has no documents.
    """
    from haystack_crossalign.mining.triplets import mine_triplets

    mined = mine_triplets(
        texts.passages,
        embedder,
        languages or [tag for tag in texts.languages if tag != language],
        language=language,
        neighbours=options.neighbours,
        threshold=options.margin,
    )
    return mined.triplets, {"counts": dict(mined.counts), "mean_margin": dict(mined.margins)}


def filter_triplets(
    triplets: Iterable[Triplet], options: Filters, evaluation: Sequence[Path]
) -> tuple[tuple[Triplet, ...], dict[str, int]]:
    """Drop targets that must not be trained on, each separately.

    :param triplets: the triplets.
    :param options: the filters.
    :param evaluation: files whose texts must not be trained on.
    :returns: what is left, and how many targets were dropped per reason.
    """
    filters: list[Filter] = []
    if options.ambiguous is not None:
        filters.append(ambiguous_queries(options.ambiguous))
    if options.language:
        from haystack_crossalign.text.detection import LanguageDetector

        detector = LanguageDetector()
        filters.append(
            language_mismatch(
                lambda texts: [detection.language for detection in detector.detect(texts)],
                detectable=detector.languages,
            )
        )
    if options.length_ratio is not None:
        filters.append(length_ratio(options.length_ratio))
    if options.near_duplicates is not None:
        filters.append(near_duplicates(options.near_duplicates, across_groups=True))
    if evaluation:
        filters.append(_overlap(evaluation))
    filtered = filter_targets(list(triplets), filters)
    return filtered.triplets, dict(filtered.dropped)


def check_overlap(triplets: Sequence[Triplet], evaluation: Sequence[Path], source: Path) -> None:
    """Reject a recipe's data, which the job does not filter, if they contain texts that judge the model.

    :param triplets: the training triplets.
    :param evaluation: files whose texts must not be trained on.
    :param source: the configuration, for the message.
    :raises InputError: naming the first triplet that shares an 8-gram with them.
    """
    if not evaluation:
        return
    verdicts = _overlap(evaluation).rejects(triplets)
    identifiers = [triplet.id for triplet, rejected in zip(triplets, verdicts, strict=True) if rejected]
    if identifiers:
        raise InputError(
            "the recipe's data contain texts that the model is judged by",
            source=source,
            field="audit.documents",
            seen=f"{len(identifiers)} triplets, the first {identifiers[0]}",
            allowed="other documents and queries, a `drop` list of the ids in the recipe, or source: with the files",
        )


def _overlap(evaluation: Sequence[Path]) -> Filter:
    return evaluation_overlap(evaluation_texts(evaluation)[0])


def _asked(passage: DocumentRow) -> tuple[str, str]:
    title = passage.title if passage.untitled else ""  # a document that is only a title would be its own answer
    kind, query, rest = known_item(title, passage.untitled if title else passage.text)
    # A document of one word has no part that could be a query.
    return ("", passage.text) if kind != "title" and letters(query) < _LEAST_LETTERS else (query, rest)
