"""Build triplets from parallel texts, also without queries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from haystack_crossalign.data.collection import JudgedCollection
from haystack_crossalign.data.corpora.courses import ParallelSection
from haystack_crossalign.data.corpora.kinds.sentences import ParallelSentence, joined_sentences
from haystack_crossalign.data.formats.jsonl import DocumentRow
from haystack_crossalign.data.triplets import Triplet
from haystack_crossalign.errors import InputError
from haystack_crossalign.text.known_item import known_item
from haystack_crossalign.text.sentences import LEAST_LETTERS, letters


@dataclass(frozen=True)
class BuiltTriplets:
    """Triplets, with counts of what was left out.

    :param triplets: the triplets.
    :param left_out: number left out by reason, including reasons with 0.
    """

    triplets: tuple[Triplet, ...]
    left_out: Mapping[str, int]


def triplets_from_sentences(
    sentences: Iterable[ParallelSentence],
    target_languages: Sequence[str],
    *,
    language: str = "en",
    block: int = 4,
    queries_per_block: int = 1,
    seed: int = 0,
) -> BuiltTriplets:
    """Use a sentence as query and its neighbors in the document as passage.

    Documents are cut into blocks of sentences. In each block some sentences are drawn as queries; the passage of each
    consists of the other sentences of the block, in order. All triplets of a block form one group, because their
    passages overlap. Blocks do not overlap, so no passage contains the answer to a query of another group.

    :param sentences: sentences, grouped by document; those that lack a language are left out.
    :param target_languages: normalized tags.
    :param language: normalized tag of queries and passages; target queries are included.
    :param block: sentences per block, at least 2; the last block of a document may be smaller.
    :param queries_per_block: maximum number of triplets per block.
    :param seed: of the draw.
    :raises InputError: for numbers out of range, and for a document whose sentences are not consecutive.
    """
    if block < 2 or queries_per_block < 1:
        raise InputError("a block needs two sentences and one query", field="block", seen=(block, queries_per_block))
    needed = (language, *target_languages)
    documents: dict[str, list[Mapping[str, str]]] = {}
    current: str | None = None
    lacking = alone = 0
    for sentence in sentences:
        if sentence.document != current and sentence.document in documents:
            raise InputError("the sentences of a document must come together", field="document", seen=sentence.document)
        current = sentence.document
        members = documents.setdefault(current, [])
        if all(sentence.texts.get(tag, "").strip() for tag in needed):
            members.append(sentence.texts)
        else:
            lacking += 1
    generator = np.random.default_rng(seed)
    triplets = []
    for document, members in documents.items():
        for start in range(0, len(members), block):
            part = members[start : start + block]
            if len(part) < 2:
                alone += 1
                continue
            drawn = generator.permutation(len(part))[:queries_per_block]
            for place in sorted(int(index) for index in drawn):
                rest = [text for index, text in enumerate(part) if index != place]
                triplets.append(
                    Triplet(
                        id=f"{document}:{start + place}",
                        group=f"{document}:{start}",
                        language=language,
                        query=part[place][language],
                        passage=joined_sentences([text[language] for text in rest], language),
                        targets={tag: joined_sentences([text[tag] for text in rest], tag) for tag in target_languages},
                        target_queries={tag: part[place][tag] for tag in target_languages},
                    )
                )
    left_out = {"sentences that lack a language": lacking, "sentences alone at the end of a document": alone}
    return BuiltTriplets(tuple(triplets), left_out)


def triplets_from_sections(
    sections: Iterable[ParallelSection],
    target_languages: Sequence[str],
    *,
    language: str = "en",
    partial: bool = False,
) -> BuiltTriplets:
    """Use a heading as query and the section under it as passage.

    Headings that many sections share ("Introduction") do not describe their sections: see
    :func:`~haystack_crossalign.triplets.filters.ambiguous_queries`.

    :param sections: sections; those without a heading or a passage in one of the languages are left out.
    :param target_languages: normalized tags.
    :param language: normalized tag of queries and passages.
    :param partial: also use sections that lack some of the target languages.
    """
    triplets = []
    headless = lacking = 0
    for section in sections:
        heading = section.headings.get(language, "").strip()
        targets = {tag: section.passages[tag] for tag in target_languages if section.passages.get(tag, "").strip()}
        complete = len(targets) == len(target_languages) or (partial and targets)
        if not heading:
            headless += 1
            continue
        if not section.passages.get(language, "").strip() or not complete:
            lacking += 1
            continue
        queries = {tag: section.headings[tag] for tag in targets if section.headings.get(tag, "").strip()}
        triplets.append(
            Triplet(section.id, section.id, language, heading, section.passages[language], targets, queries)
        )
    left_out = {"sections without a heading": headless, "sections that lack a language": lacking}
    return BuiltTriplets(tuple(triplets), left_out)


def triplets_from_collection(
    collection: JudgedCollection, target_languages: Sequence[str], *, language: str = "en"
) -> BuiltTriplets:
    """Use judged queries and their relevant documents, with other versions from the documents' parallel groups.

    The passage is a relevant document in the language of the query or, if none is judged, the group's only document in
    it. Its target in another language is the group's relevant document if there is exactly one; if none is judged, it
    is the group's document in that language, provided that neither version has chunks: it is unknown which chunk is the
    translation of which, so such a group gives no triplet, or one with fewer languages.

    :param collection: the collection, with original judgments (not expanded to groups); queries in other languages are
        left out. A triplet has the target languages that exist in its group.
    :param target_languages: normalized tags.
    :param language: normalized tag of queries and passages.
    """
    documents, queries = collection.documents, collection.queries
    members: dict[tuple[str, str], list[int]] = {}
    for document, place in enumerate(zip(documents.groups, documents.languages, strict=True)):
        members.setdefault(place, []).append(document)
    triplets = []
    others = single = in_chunks = 0
    for query, relevant in enumerate(collection.relevant):
        if queries.languages[query] != language:
            others += 1
            continue
        for group in dict.fromkeys(documents.groups[document] for document in relevant):
            judged: dict[str, list[int]] = {}
            for document in relevant:
                if documents.groups[document] == group:
                    judged.setdefault(documents.languages[document], []).append(document)
            versions = {tag: members.get((group, tag), []) for tag in (language, *target_languages)}
            whole = len(versions[language]) == 1
            passages = judged.get(language, versions[language] if whole else [])
            places = {
                tag: judged.get(tag, versions[tag] if whole else [])
                for tag in target_languages
                if versions[tag] and versions[language]
            }
            targets = {tag: documents.texts[rows[0]] for tag, rows in places.items() if len(rows) == len(passages) == 1}
            single += not places
            in_chunks += len(targets) < len(places)
            if targets:
                triplets.append(
                    Triplet(
                        id=f"{queries.ids[query]}:{group}",
                        group=group,
                        language=language,
                        query=queries.texts[query],
                        passage=documents.texts[passages[0]],
                        targets=targets,
                    )
                )
    left_out = {
        "queries in other languages": others,
        "no version in a target language": single,
        "a version in chunks": in_chunks,
    }
    return BuiltTriplets(tuple(triplets), left_out)


def triplets_from_documents(
    documents: Iterable[DocumentRow], target_languages: Sequence[str], *, language: str = "en"
) -> BuiltTriplets:
    """Use the title of a document as its query, or else its first sentence, which is then taken out of the passage.

    The targets are the other versions of its parallel group, without their own titles or first sentences where these
    are of the same kind. A version in chunks is left out: it is unknown which chunk is the translation of which.

    :param documents: documents with parallel groups.
    :param target_languages: normalized tags. A triplet has those that exist in its group.
    :param language: normalized tag of queries and passages; target queries are included.
    """
    groups: dict[str, dict[str, list[DocumentRow]]] = {}
    for document in documents:
        groups.setdefault(document.group, {}).setdefault(document.language, []).append(document)
    triplets = []
    alone = in_chunks = without = 0
    for group, versions in groups.items():
        whole = {tag: rows[0] for tag, rows in versions.items() if len(rows) == 1}
        if language not in versions or not any(tag in versions for tag in target_languages):
            alone += 1
            continue
        if language not in whole or not any(tag in whole for tag in target_languages):
            in_chunks += 1
            continue
        source = whole[language]
        kind, query, passage = known_item(source.title, source.untitled)
        if letters(query) < LEAST_LETTERS or not passage.strip() or kind == "first half":
            # Half of a sentence is no query that anybody would ask.
            without += 1
            continue
        targets: dict[str, str] = {}
        target_queries: dict[str, str] = {}
        for tag in target_languages:
            if tag not in whole:
                continue
            other_kind, other_query, rest = known_item(whole[tag].title, whole[tag].untitled)
            text = rest if other_kind == kind else whole[tag].untitled
            if text.strip():
                targets[tag] = text
                target_queries |= {tag: other_query} if other_kind == kind else {}
        if not targets:
            without += 1
            continue
        triplets.append(Triplet(source.id, group, language, query, passage, targets, target_queries))
    left_out = {
        "contents not in both languages": alone,
        "a version in chunks": in_chunks,
        "a text without title and second sentence": without,
    }
    return BuiltTriplets(tuple(triplets), left_out)
