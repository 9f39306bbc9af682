"""Split texts into documents to fit a repair on and held-out documents with queries to judge it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from haystack_crossalign.data.collection import Documents, JudgedCollection, Queries
from haystack_crossalign.data.formats.jsonl import DocumentRow
from haystack_crossalign.data.triplets import normalized
from haystack_crossalign.errors import InputError
from haystack_crossalign.files.reading import Source
from haystack_crossalign.repair.texts import Question, RepairTexts
from haystack_crossalign.text.known_item import known_item
from haystack_crossalign.text.sentences import sentences

_SHORT_QUERIES = 100

FEWEST = 5
"""Minimum number of documents per language for fitting, and of queries per language for judging."""

KINDS = ("query", "title", "first sentence", "first half")
"""Kinds of queries for a document, of which the first available is used: a query of the data; its title; its first
sentence, which is then removed from the document; the first half of a document with a single sentence.
"""


@dataclass(frozen=True)
class Probe:
    """A query that a held-out document should answer.

    :param id: unique.
    :param group: group of that document.
    :param language: language of the query and of the document.
    :param text: the query.
    :param kind: one of `KINDS`.
    """

    id: str
    group: str
    language: str
    text: str
    kind: str


@dataclass(frozen=True)
class RepairSample:
    """The two parts.

    :param fit: documents that the directions are fitted on.
    :param held_out: documents that judge; no text is in both parts.
    :param probes: what they are asked by.
    :param notes: what a reader must know.
    :param others: texts in other languages, which the repair must not harm; none for a closed index.
    """

    fit: tuple[DocumentRow, ...]
    held_out: tuple[DocumentRow, ...]
    probes: tuple[Probe, ...]
    notes: tuple[str, ...] = field(default=())
    others: tuple[DocumentRow, ...] = field(default=())

    @property
    def languages(self) -> tuple[str, ...]:
        """Tags of the documents to fit on, ascending."""
        return tuple(sorted({passage.language for passage in self.fit}))

    @property
    def parallel(self) -> bool:
        """Whether held-out documents have versions in other languages, so that the bias can be measured."""
        return max(Counter(passage.group for passage in self.held_out).values(), default=0) > 1

    def kinds(self) -> dict[str, dict[str, int]]:
        """Queries per language and kind."""
        counts = Counter((probe.language, probe.kind) for probe in self.probes)
        return {
            tag: {kind: counts[tag, kind] for kind in KINDS if counts[tag, kind]}
            for tag in sorted({language for language, _ in counts})
        }


def make_sample(
    parallel: RepairTexts | None,
    tagged: RepairTexts | None = None,
    held_out: RepairTexts | None = None,
    *,
    others: RepairTexts | None = None,
    fit_limit: int = 800,
    held_out_limit: int = 500,
    seed: int = 0,
) -> RepairSample:
    """Split the texts.

    The repair is fitted on the tagged documents if there are any, else on half of the parallel ones. It is judged on
    the held-out documents if given, else on the remaining parallel ones, else on half of the tagged ones. Whole groups
    are drawn, by a hash of their name, so the order of the file does not matter.

    :param parallel: parallel documents.
    :param tagged: documents that need not be parallel.
    :param held_out: documents to judge on, parallel or not.
    :param others: texts in languages that the repair must not harm, also in those that it is fitted on
        (:func:`~haystack_crossalign.repair.other_languages.read_other_languages`); None for a closed index, which has
        no other languages.
    :param fit_limit: documents per language to fit on. Groups stay whole, so a language that occurs with several others
        can get this many for each of them.
    :param held_out_limit: the same for documents to judge on.
    :param seed: of the draw.
    :raises InputError: if there are no documents, fewer than two languages, or fewer than `FEWEST` documents in one.
    """
    base = tagged or parallel
    if base is None:
        raise InputError("no documents", allowed="parallel documents, or documents tagged by language")
    judges = held_out or (parallel if tagged is not None else None)
    groups = _drawn(base.passages, seed)
    if judges is None:
        cut = len(groups) - len(groups) // 2
        fit_groups, judging = groups[:cut], groups[cut:]
        questions: Sequence[Question] = base.questions
    else:
        fit_groups, judging = groups, _drawn(judges.passages, seed)
        questions = judges.questions
    languages = {passage.language for passage in base.passages}
    judging = [[document for document in group if document.language in languages] for group in judging]
    if any(len(group) > 1 for group in judging):
        # Documents with a single version do not show bias, so documents with several versions come first.
        judging.sort(key=lambda group: len(group) < 2)
    judging = _limited(judging, held_out_limit)
    kept_texts = {normalized(document.text) for group in judging for document in group}
    free = [group for group in fit_groups if not any(normalized(document.text) in kept_texts for document in group)]
    notes = [
        f"{', '.join(source.name for source in texts.sources) or 'The triplets'}: {texts.chunks} further passages of a "
        "group and language were left out."
        for texts in (parallel, tagged, held_out)
        if texts is not None and texts.chunks
    ]
    notes += [
        f"{', '.join(source.name for source in texts.sources)}: field '{texts.titles[0]}' was put before the text of "
        f"{texts.titles[1]} documents."
        for texts in (parallel, tagged, held_out)
        if texts is not None and texts.titles is not None
    ]
    notes += [
        f"{', '.join(source.name for source in texts.sources)}: {texts.detection}"
        for texts in (parallel, tagged, held_out)
        if texts is not None and texts.detection is not None
    ]
    notes += [texts.remark for texts in (parallel, tagged) if texts is not None and texts.remark is not None]
    if len(free) < len(fit_groups):
        notes.append(f"{len(fit_groups) - len(free)} documents were not used for fitting, because their texts judge.")
    fit = [document for group in _limited(free, fit_limit) for document in group]
    files = ", ".join(source.name for source in base.sources) or None
    if fit_groups and not fit:
        raise InputError("every text to fit on is also among those that judge", source=files, allowed="other documents")
    _check_counts(fit, files)
    documents, probes = probes_of([document for group in judging for document in group], questions)
    lacking = _lacking(languages, probes)
    if lacking:
        notes.append(f"Fewer than {FEWEST} held-out queries in {', '.join(lacking)}: harm there is not measured.")
    probes = [probe for probe in probes if probe.language not in lacking]
    protected = () if others is None else others.passages
    return RepairSample(tuple(fit), tuple(documents), tuple(probes), tuple(notes), protected)


def _drawn(passages: Iterable[DocumentRow], seed: int) -> list[list[DocumentRow]]:
    groups: dict[str, list[DocumentRow]] = {}
    for passage in passages:
        groups.setdefault(passage.group, []).append(passage)
    names = sorted(groups, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())
    return [sorted(groups[name], key=lambda document: (document.language, document.id)) for name in names]


def _limited(groups: Iterable[list[DocumentRow]], limit: int) -> list[list[DocumentRow]]:
    """Select groups, in order, that contain a language with fewer than ``limit`` documents so far.

    Groups stay whole: a language that occurs with several others can get this many documents for each of them.
    """
    counts: Counter[str] = Counter()
    kept: list[list[DocumentRow]] = []
    for group in groups:
        if any(counts[document.language] < limit for document in group):
            kept.append(group)
            counts.update(document.language for document in group)
    return kept


def _check_counts(fit: Sequence[DocumentRow], files: str | None) -> None:
    counts = Counter(passage.language for passage in fit)
    if len(counts) < 2:
        raise InputError(
            "a repair needs documents in two languages",
            source=files,
            field="language",
            seen=", ".join(sorted(counts)) or "none",
        )
    fewest = min(sorted(counts), key=lambda tag: counts[tag])
    if counts[fewest] < FEWEST:
        raise InputError(
            f"too few documents in '{fewest}' to fit on",
            source=files,
            field="language",
            seen=counts[fewest],
            allowed=f"{FEWEST} or more in every language after half of the groups is held out; 30 or more are better",
        )


def probes_of(documents: Sequence[DocumentRow], questions: Sequence[Question]) -> tuple[list[DocumentRow], list[Probe]]:
    """Queries for held-out documents (see `KINDS`), and the documents without the titles and first sentences used as
    queries.

    :param documents: at most one per group and language.
    :param questions: real queries, of these groups and others.
    """
    real: dict[tuple[str, str], list[str]] = {}
    for question in questions:
        real.setdefault((question.group, question.language), []).append(question.text)
    # A title of many documents ("Introduction") is not a query for any of them.
    titles = Counter((one.language, normalized(one.title)) for one in documents if one.title)
    kept, probes = [], []
    for document in documents:
        texts = real.get((document.group, document.language), [])
        kind, text = "query", document.text
        if not texts:
            unique = (
                bool(document.title and document.untitled)
                and titles[document.language, normalized(document.title)] == 1
            )
            kind, query, rest = known_item(document.title if unique else "", document.untitled or document.text)
            text = rest if unique or not document.untitled else document.with_body(rest)
            texts = [query] if query else []
        kept.append(replace(document, text=text))
        probes += [
            Probe(f"{document.language}:{document.group}:{number}", document.group, document.language, query, kind)
            for number, query in enumerate(texts)
        ]
    return kept, probes


def _lacking(languages: Iterable[str], probes: Sequence[Probe]) -> list[str]:
    counts: Mapping[str, int] = Counter(probe.language for probe in probes)
    lacking = sorted(tag for tag in languages if counts[tag] < FEWEST)
    if len(lacking) == len(set(languages)):
        raise InputError(
            "too few held-out documents to judge by",
            seen=f"{max(counts.values(), default=0)} queries in the language with most",
            allowed=f"{FEWEST} or more documents of a language held out",
        )
    return lacking


def judged_collection(
    documents: Sequence[DocumentRow], probes: Sequence[Probe], sources: Sequence[Source]
) -> JudgedCollection:
    """Held-out documents and queries as a judged collection: all versions of a query's document are relevant.

    :param documents: at most one per group and language.
    :param probes: queries of these groups.
    :param sources: the files they came from.
    """
    members: dict[str, list[int]] = {}
    for number, passage in enumerate(documents):
        members.setdefault(passage.group, []).append(number)
    return JudgedCollection(
        name="held-out documents",
        documents=Documents(
            # Two files may use the same id, but group and language are unique.
            ids=tuple(f"{document.language}:{document.group}" for document in documents),
            languages=tuple(document.language for document in documents),
            groups=tuple(document.group for document in documents),
            texts=tuple(document.text for document in documents),
        ),
        queries=Queries(
            ids=tuple(probe.id for probe in probes),
            languages=tuple(probe.language for probe in probes),
            texts=tuple(probe.text for probe in probes),
        ),
        relevant=tuple(tuple(members[probe.group]) for probe in probes),
        sources=tuple(sources),
    )


def short_queries(texts: Sequence[str], languages: Sequence[str]) -> list[tuple[str, str]]:
    """The middle sentence of the first hundred texts in each language, as queries; the language and text of each.

    :param texts: documents.
    :param languages: tag of each.
    """
    made: dict[str, list[str]] = {}
    for text, language in zip(texts, languages, strict=True):
        found = sentences(text)
        if found and len(made.setdefault(language, [])) < _SHORT_QUERIES:
            made[language].append(found[len(found) // 2])
    return [(language, text) for language in sorted(made) for text in made[language]]


def without_counterpart(languages: Sequence[str], groups: Sequence[str], pivot: str) -> list[str]:
    """The other languages without a document that is parallel to one in the pivot.

    :param languages: tag of each document.
    :param groups: parallel group of each.
    :param pivot: tag.
    """
    missing: dict[str, set[str]] = {}
    for tag, group in zip(languages, groups, strict=True):
        missing.setdefault(tag, set()).add(group)
    own = missing.pop(pivot, set())
    return sorted(tag for tag, theirs in missing.items() if own.isdisjoint(theirs))
