"""Build triplets from a collection that is not aligned: pairs are mined; queries are given, or taken from headings
or texts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from haystack_crossalign.audit.run import Progress
from haystack_crossalign.data.formats.jsonl import DocumentRow, read_queries
from haystack_crossalign.data.triplets import Triplet, with_unique_ids
from haystack_crossalign.errors import InputError
from haystack_crossalign.files.reading import Source
from haystack_crossalign.languages import normalize_language
from haystack_crossalign.mining.pairs import NEIGHBOURS, THRESHOLD, language_repair, mine_pairs
from haystack_crossalign.text.known_item import asked_by


class DocumentEncoder(Protocol):
    """The interface of an encoder that is needed here."""

    def encode_documents(
        self, texts: Sequence[str], *, progress: Callable[[int, int], None] | None = None
    ) -> NDArray[np.float32]:
        """float32 [n, dim]."""
        ...


@dataclass(frozen=True)
class MinedTriplets:
    """The result of mining.

    :param triplets: in the order of the ids of their documents; the id of the document is the parallel group.
    :param counts: counts by description.
    :param margins: mean margin of the pairs by target language.
    """

    triplets: tuple[Triplet, ...]
    counts: Mapping[str, int]
    margins: Mapping[str, float] = field(default_factory=dict)


def read_given_queries(
    path: str | Path, documents: Iterable[DocumentRow], *, language: str = "en"
) -> tuple[dict[str, tuple[str, ...]], Source]:
    """Read queries from JSON Lines with ``id``, ``text`` and ``relevant``; returns them by the ids of their relevant
    documents.

    :param path: the file.
    :param documents: the collection.
    :param language: queries in other languages are left out; those without a language are assumed to be in this one.
    :raises InputError: for a file that cannot be read, and for a query without relevant documents or with one that is
        not in the collection.
    """
    queries = read_queries(path, default_language=language)
    by_document: dict[str, list[str]] = {}
    ids = {document.id for document in documents}
    for row in queries.rows:
        relevant = row.relevant()
        if relevant is None:
            raise InputError(
                "a query without relevant documents", source=path, line=row.line, field="relevant", seen=row.id,
                allowed="ids of documents",
            )  # fmt: skip
        unknown = next((identifier for identifier in relevant if identifier not in ids), None)
        if unknown is not None:
            raise InputError(
                "no such document", source=path, line=row.line, field="relevant", seen=unknown,
                allowed="ids of the documents",
            )  # fmt: skip
        if row.language == language:
            for identifier in relevant:
                by_document.setdefault(identifier, []).append(row.text)
    return {identifier: tuple(texts) for identifier, texts in by_document.items()}, queries.source


def mine_triplets(
    documents: Sequence[DocumentRow],
    encoder: DocumentEncoder,
    languages: Sequence[str],
    *,
    language: str = "en",
    queries: Mapping[str, Sequence[str]] | None = None,
    neighbours: int = NEIGHBOURS,
    threshold: float = THRESHOLD,
    repair: bool = True,
    progress: Progress | None = None,
) -> MinedTriplets:
    """Mine translation pairs between one language and each of the others, and build triplets of those with a query.

    Copies of a text in a language count once, under the first id, with the queries of all copies. Without given
    queries, the query of a document is its heading, or its first sentence if it has none. If headings are queries,
    passages are texts without headings; otherwise the answer would contain the question.

    :param documents: the collection.
    :param encoder: embeds the documents.
    :param languages: target languages.
    :param language: language of queries and passages.
    :param queries: texts by document id, from users or a test set; None to use headings and first sentences.
    :param neighbours: see :func:`~haystack_crossalign.mining.pairs.mine_pairs`.
    :param threshold: minimum margin.
    :param repair: first remove the language directions of the collection from the embeddings.
    :param progress: called with the stage, the amount done and the total.
    :raises InputError: if a language has no documents.
    """
    source = normalize_language(language, field="language")
    targets = tuple(dict.fromkeys(normalize_language(tag, field="languages") for tag in languages))
    if not targets or source in targets:
        raise InputError("needs target languages other than that of the queries", field="languages", seen=targets)
    sides = {tag: _distinct(documents, tag) for tag in (source, *targets)}
    for tag, side in sides.items():
        if not side:
            present = ", ".join(sorted({document.language for document in documents}))
            raise InputError("no document has this language", field="languages", seen=tag, allowed=present)
    vectors = {tag: _encoded(encoder, side, f"embedding {tag}", progress) for tag, side in sides.items()}
    if repair:
        chosen = language_repair(list(vectors.values()), list(vectors))
        vectors = {tag: chosen.apply(rows) for tag, rows in vectors.items()}
    versions: dict[int, dict[str, DocumentRow]] = {}
    counts = {f"documents in {tag}": len(side) for tag, side in sides.items()}
    if titled := sum(document.body is not None for document in documents):
        counts["documents with their heading in front"] = titled
    margins = {}
    for tag in targets:
        pairs = mine_pairs(vectors[source], vectors[tag], neighbours=neighbours, threshold=threshold)
        counts[f"pairs {source}-{tag}"] = len(pairs)
        if len(pairs):
            margins[tag] = float(pairs.margins.mean())
        for row, partner in zip(pairs.sources.tolist(), pairs.targets.tolist(), strict=True):
            versions.setdefault(row, {})[tag] = sides[tag][partner]
    copies: dict[str, list[str]] = {}
    for one in documents if queries is not None else ():
        if one.language == source:
            copies.setdefault(one.text, []).append(one.id)
    triplets = []
    without, used = 0, set[str]()
    for row in sorted(versions):
        document = sides[source][row]
        own = None
        if queries is None:
            # A document that is only a title would be its own answer.
            own = None if document.body == "" else asked_by(document.title, document.untitled)
            query_columns = [] if own is None else [own[1]]
        else:
            query_columns = list(
                dict.fromkeys(text for name in copies[document.text] for text in queries.get(name, ()))
            )
        by_title = own is not None and own[0] == "title"
        passages = {
            tag: (version.untitled or version.text) if by_title else version.text
            for tag, version in versions[row].items()
        }
        passage = document.untitled if by_title else document.text
        without += not query_columns
        used.update(query_columns)
        for number, query in enumerate(query_columns):
            name = document.id if number == 0 else f"{document.id}~{number + 1}"
            triplets.append(Triplet(name, document.id, source, query, passage, passages))
    counts |= {"documents in a pair": len(versions), "of these without a query": without}
    if queries is not None:
        known_queries = {text for texts in queries.values() for text in texts}
        counts |= {"queries given": len(known_queries), "of these of no document in a pair": len(known_queries - used)}
    counts["triplets"] = len(triplets)
    # The id of a document may equal the generated id of another's second query.
    return MinedTriplets(tuple(with_unique_ids(triplets)), counts, margins)


def _distinct(documents: Sequence[DocumentRow], language: str) -> list[DocumentRow]:
    """The documents of a language in the order of their ids, so that ties go to the first; without copies."""
    kept: dict[str, DocumentRow] = {}
    for document in sorted(documents, key=lambda item: item.id.encode()):
        if document.language == language:
            kept.setdefault(document.text, document)
    return list(kept.values())


def _encoded(
    encoder: DocumentEncoder, side: Sequence[DocumentRow], stage: str, progress: Progress | None
) -> NDArray[np.float32]:
    def report(done: int, total: int) -> None:
        if progress is not None:
            progress(stage, done, total)

    return encoder.encode_documents([document.text for document in side], progress=report)
