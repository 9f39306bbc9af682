"""Measure several models on the paper's corpora and pools, with a cache of rows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from haystack_crossalign._version import __version__
from haystack_crossalign.audit.result import rounded
from haystack_crossalign.audit.run import Embedder, Progress, audit_vectors, embed_collection
from haystack_crossalign.audit.scenarios import SCENARIOS, plan_scenarios
from haystack_crossalign.audit.similarity import settle_similarity
from haystack_crossalign.data.collection import JudgedCollection
from haystack_crossalign.data.corpora.collections import read_corpus
from haystack_crossalign.data.corpora.registry import corpus_folder, named_corpus
from haystack_crossalign.errors import InputError
from haystack_crossalign.files.writing import write_atomically
from haystack_crossalign.languages import normalize_language
from haystack_crossalign.measures import parse_measure
from haystack_crossalign.schemas import shipped_schema

SCHEMA = "crossalign.paper/1"
CORPORA = ("xquad", "belebele")
MEASURES = ("Max@R", "Max@R_norm", "Complete@10", "Top1[relevant,same]", "NDCG@1", "NDCG@10")
_ENGLISH = "en"
_OF_MODEL = (
    "sha256",
    "revision",
    "dimension",
    "precision",
    "backend",
    "max_tokens",
    "prompts",
    "pooling",
    "normalized",
    "similarity",
)


@dataclass(frozen=True)
class PaperOptions:
    """What is measured.

    :param languages: languages to pair with English, and to pool with it all together.
    :param pool: "questions", as in the paper, or "passages".
    :param samples: bootstrap samples behind each interval.
    :param seed: of the bootstrap.
    """

    languages: tuple[str, ...]
    pool: str = "questions"
    samples: int = 1000
    seed: int = 0


@dataclass(frozen=True)
class _Pools:
    """The pools of a corpus: its texts, and the languages of each pool."""

    name: str
    collection: JudgedCollection
    pools: tuple[tuple[str, ...], ...]


def measure_models(
    data: Path,
    models: Mapping[str, Callable[[], Embedder]],
    options: PaperOptions,
    *,
    cache: Path,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure every model on every pool: English with each language, and all of them together.

    Rows are cached by what they depend on: the digest of the model and its settings, the digests of the corpus's files,
    the languages of the pool, measures, seed and version. A further model or language costs its own rows only.

    :param data: folder with the corpora in their published layout; missing ones are named in the result.
    :param models: opens each model, by its label.
    :param options: what is measured.
    :param cache: folder of the rows; created if needed.
    :param progress: called while embedding and ranking.
    :returns: schema ``crossalign.paper/1``: ``models``, ``corpora``, ``missing``, ``rows``, all plain data.
    :raises InputError: if no corpus is found, or one lacks the languages.
    """
    languages = tuple(dict.fromkeys(normalize_language(tag, source="--languages") for tag in options.languages))
    languages = tuple(tag for tag in languages if tag != _ENGLISH)
    if not languages:
        raise InputError("no language to pair with English", source="--languages", allowed="one or more, such as zh")
    read: list[_Pools] = []
    missing: list[str] = []
    for name in CORPORA:
        folder = corpus_folder(name, data)
        if folder == data:  # the corpus is not in it; the folder itself may be another corpus
            missing.append(f"{named_corpus(name).title} was not found: no {named_corpus(name).places[0]} in the folder")
            continue
        collection = read_corpus(name, folder, (_ENGLISH, *languages), pool=options.pool)
        pools: list[tuple[str, ...]] = [(_ENGLISH, tag) for tag in languages]
        pools += [(_ENGLISH, *languages)] if len(languages) > 1 else []
        read.append(_Pools(name, collection, tuple(pools)))
    if not read:
        raise InputError(
            "none of the paper's corpora is in the folder", source=data,
            allowed=" or ".join(f"{named_corpus(name).places[0]}/ ({named_corpus(name).holds})" for name in CORPORA),
        )  # fmt: skip
    rows: list[dict[str, Any]] = []
    described = []
    for label, open_model in models.items():
        embedder = open_model()
        model = embedder.provenance()
        described.append({"label": label, **{name: model.get(name) for name in ("name", *_OF_MODEL)}})
        for corpus in read:
            rows += [{"model": label, **row} for row in _rows(corpus, embedder, model, options, cache, progress)]
    return {
        "schema": SCHEMA,
        "models": described,
        "corpora": [
            {
                "name": corpus.name,
                "title": named_corpus(corpus.name).title,
                "pool": options.pool,
                "files": [{"name": source.name, "sha256": source.sha256} for source in corpus.collection.sources],
            }
            for corpus in read
        ],
        "missing": missing,
        "samples": options.samples,
        "seed": options.seed,
        "rows": rows,
    }


def paper_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of ``paper.json``."""
    return shipped_schema("paper-1.schema.json")


def paper_json(measured: Mapping[str, Any], published: Sequence[Mapping[str, Any]], differences: Sequence[str]) -> str:
    """What was measured, with the published figures, as JSON: the same measurement gives the same bytes.

    :param measured: result of `measure_models`.
    :param published: the paper's figures.
    :param differences: in what our measurement differs from the paper's.
    """
    tool = {"name": "haystack-crossalign", "version": __version__}
    data = {**measured, "tool": tool, "published": list(published), "differences": list(differences)}
    return json.dumps(rounded(data), ensure_ascii=False, allow_nan=False, sort_keys=True, indent=1) + "\n"


def _rows(
    corpus: _Pools,
    embedder: Embedder,
    model: Mapping[str, Any],
    options: PaperOptions,
    cache: Path,
    progress: Progress | None,
) -> list[dict[str, Any]]:
    files = {pool: _cache_file(corpus, pool, model, options, cache) for pool in corpus.pools}
    known = {pool: _cached(file) for pool, file in files.items()}
    wanted = [pool for pool, rows in known.items() if rows is None]
    if wanted:
        tags = list(dict.fromkeys(tag for pool in wanted for tag in pool))
        embedded = embed_collection(corpus.collection.restrict(tags, tags), embedder, progress=progress)
        similarity = settle_similarity(dict(model), None).similarity
        for pool in wanted:
            # The larger pool adds only its mixed rows: those of one language are in the pairs.
            plan = plan_scenarios(SCENARIOS if len(pool) == 2 else SCENARIOS[:1], pool)
            result = audit_vectors(
                embedded.restrict(pool, pool), plan, provenance={}, measures=list(map(parse_measure, MEASURES)),
                samples=options.samples, seed=options.seed, similarity=similarity, examples=0, progress=progress,
            )  # fmt: skip
            names = ("scenario", "pool_languages", "query_language", "pool_size", "queries", "measures", "intervals")
            rows = [rounded({"corpus": corpus.name, **{name: row[name] for name in names}}) for row in result.rows]
            cache.mkdir(parents=True, exist_ok=True)
            write_atomically(files[pool], json.dumps(rows, ensure_ascii=False, sort_keys=True) + "\n")
            known[pool] = rows
    measured: dict[tuple[str, ...], dict[str, Any]] = {}
    for pool in corpus.pools:
        for row in known[pool] or ():
            # English alone is in every pair.
            measured.setdefault((row["scenario"], *row["pool_languages"], "|", row["query_language"]), row)
    return list(measured.values())


def _cache_file(
    corpus: _Pools, pool: tuple[str, ...], model: Mapping[str, Any], options: PaperOptions, cache: Path
) -> Path:
    key = {
        "version": __version__,
        "schema": SCHEMA,
        "model": {name: model.get(name) for name in _OF_MODEL},
        "name": model.get("name") if model.get("sha256") is None else None,
        "corpus": [corpus.name, options.pool, _digest(corpus.collection.restrict(pool, pool))],
        "pool": pool,
        "measures": MEASURES,
        "samples": options.samples,
        "seed": options.seed,
    }
    text = json.dumps(key, ensure_ascii=False, sort_keys=True)
    return cache / f"{hashlib.sha256(text.encode('utf-8')).hexdigest()}.json"


def _digest(collection: JudgedCollection) -> str:
    """Hash of what is measured: texts, ids and judgments, so that files of other languages play no part."""
    documents, queries = replace(collection.documents, vectors=None), replace(collection.queries, vectors=None)
    content: list[object] = [documents.ids, documents.languages, documents.groups, documents.texts]
    content += [queries.ids, queries.languages, queries.texts, collection.relevant]
    text = json.dumps(content, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _cached(file: Path) -> list[dict[str, Any]] | None:
    """Rows of an earlier run; None if there are none, or the file is damaged."""
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(rows, list) or not all(isinstance(row, dict) and "measures" in row for row in rows):
        return None
    return rows
