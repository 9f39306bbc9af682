"""What balances languages at query time: gain and price beside a repair, on one pool of two languages.

    crossalign repair --format ntrex --parallel ntrex.jsonl --languages en,zh --keep-own-first off --output repaired
    python benchmarks/studies/balance.py --xquad FOLDER --languages en zh --models repaired

The pool is that of XQuAD's passages: each in both languages, asked in both. Nothing is chosen by it; the constants are
those that docs/balance.md names.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from haystack import Document
from haystack.components.retrievers.in_memory import InMemoryEmbeddingRetriever
from haystack.document_stores.in_memory import InMemoryDocumentStore
from machine import machine_line  # beside this file

from haystack_crossalign import read_xquad
from haystack_crossalign.components import LanguageBalancedRetriever, OwnLanguageRanker, VersionCollapser
from haystack_crossalign.data.collection import JudgedCollection
from haystack_crossalign.models.encoder import Encoder

RESULTS = Path(__file__).resolve().parent.parent / "results" / "balance.md"
MODEL = "offline:multilingual-e5-small"
BONUSES = (0.01, 0.02, 0.03)
"""Of the cosine."""
DEPTH = 50
"""Documents that the ranker and the collapser choose among."""

DESCRIBED = """XQuAD, passages in {languages} in one pool: {documents} documents, {queries} queries; both versions of a
passage are relevant. {machine}.

Complete@10: both versions in the first ten. Own first: the relevant version in the language of the query is the first
hit. Relevant first: one of the versions is. Found: one of them is in the first ten. All in percent, over the queries in
one language. A collapsed list shows one version of each passage, so that Complete@10 does not apply. Ranker and
collapser choose among the first {depth} hits. Bonuses are in the unit of the cosine."""

Search = Callable[[int, str], Sequence[Document]]
"""The list of a query, by its place and its language."""


def store_of(collection: JudgedCollection, vectors: np.ndarray) -> InMemoryDocumentStore:
    documents = collection.documents
    store = InMemoryDocumentStore(embedding_similarity_function="cosine")
    store.write_documents(
        [
            Document(id=name, content="", meta={"language": tag, "parallel_id": group}, embedding=vector.tolist())
            for name, tag, group, vector in zip(
                documents.ids, documents.languages, documents.groups, vectors, strict=True
            )
        ]
    )
    return store


def searches(store: InMemoryDocumentStore, languages: Sequence[str], queries: np.ndarray) -> dict[str, Search]:
    """The ways to search one store, by name."""
    plain = InMemoryEmbeddingRetriever(store, top_k=DEPTH)
    balanced = LanguageBalancedRetriever(
        retriever=InMemoryEmbeddingRetriever(store), languages=list(languages), others=False, top_k=DEPTH
    )
    collapser = VersionCollapser()

    @cache
    def found(query: int, _: str) -> Sequence[Document]:
        return plain.run(query_embedding=queries[query].tolist())["documents"]

    @cache
    def taking_turns(query: int, language: str) -> Sequence[Document]:
        return balanced.run(query_embedding=queries[query].tolist(), language=language)["documents"]

    def with_bonus(bonus: float) -> Search:
        ranker = OwnLanguageRanker(bonus=bonus)
        return lambda query, language: ranker.run(list(found(query, language)), language=language)["documents"]

    def collapsed(search: Search) -> Search:
        return lambda query, language: collapser.run(list(search(query, language)), language=language)["documents"]

    return {
        "plain search": found,
        **{f"own-language ranker, bonus {bonus:g}": with_bonus(bonus) for bonus in BONUSES},
        "balanced retriever": taking_turns,
        "plain search, collapsed": collapsed(found),
        "balanced retriever, collapsed": collapsed(taking_turns),
    }


def row(collection: JudgedCollection, search: Search, language: str) -> dict[str, float]:
    """Means over the queries in one language."""
    ids, groups = collection.documents.ids, collection.documents.groups
    both, own_first, content_first, content_found = [], [], [], []
    for place, tag in enumerate(collection.queries.languages):
        if tag != language:
            continue
        relevant = {ids[number] for number in collection.relevant[place]}
        (content,) = {groups[number] for number in collection.relevant[place]}
        top = list(search(place, language))[:10]
        both.append(relevant <= {one.id for one in top})
        own_first.append(top[0].id in relevant and top[0].meta["language"] == language)
        content_first.append(top[0].meta["parallel_id"] == content)
        content_found.append(any(one.meta["parallel_id"] == content for one in top))
    means = {"Complete@10": both, "own first": own_first, "relevant first": content_first, "found": content_found}
    return {name: 100 * float(np.mean(values)) for name, values in means.items()}


def origin(model: str) -> str:
    """What is known of a repaired model, in a line."""
    file = Path(model) / "repair.json"
    if not file.is_file():
        return f"{Path(model).name}: a model."
    data = json.loads(file.read_text(encoding="utf-8"))
    counts = ", ".join(f"{count} in {tag}" for tag, count in data["fitted_on"].items())
    return f"{Path(model).name}: a repair fitted on passages, {counts}; strength {data['chosen']['strength']:g}."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--xquad", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--languages", nargs=2, default=["en", "zh"])
    parser.add_argument(
        "--models", nargs="*", default=[], metavar="FOLDER", help="further models, such as a repaired one"
    )
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    collection = read_xquad(arguments.xquad, languages=arguments.languages)
    lines = [
        "# Balancing languages at query time", "",
        "    python benchmarks/studies/balance.py --xquad FOLDER --languages "
        f"{' '.join(arguments.languages)} --models {' '.join(Path(one).name for one in arguments.models)}", "",
        DESCRIBED.format(
            languages=" and ".join(arguments.languages), documents=len(collection.documents.ids),
            queries=len(collection.queries.ids), machine=machine_line(), depth=DEPTH,
        ), "",
        *(line for model in arguments.models for line in (origin(model), "")),
        "| model | search | queries | Complete@10 | own first | relevant first | found |",
        "|---|---|---|--:|--:|--:|--:|",
    ]  # fmt: skip
    for model in (MODEL, *arguments.models):
        encoder = Encoder(str(model))
        documents = encoder.encode_documents(list(collection.documents.texts))
        queries = encoder.encode_queries(list(collection.queries.texts))
        store = store_of(collection, documents)
        for name, search in searches(store, arguments.languages, queries).items():
            for language in arguments.languages:
                values = row(collection, search, language)
                complete = "–" if "collapsed" in name else f"{values['Complete@10']:.1f}"
                rest = " | ".join(f"{values[key]:.1f}" for key in ("own first", "relevant first", "found"))
                shown = "base" if model == MODEL else Path(model).name
                lines.append(f"| {shown} | {name} | {language} | {complete} | {rest} |")
                print(lines[-1], flush=True)
    arguments.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
