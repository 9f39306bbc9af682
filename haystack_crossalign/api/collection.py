"""The audit of a judged collection, and of result lists over one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from haystack_crossalign.api.requests.files import FilesRequest
from haystack_crossalign.api.requests.judged import Measured
from haystack_crossalign.audit.provenance import build_provenance, describe_data
from haystack_crossalign.audit.result import AuditResult
from haystack_crossalign.audit.result_lists import audit_run as audit_ranked_lists
from haystack_crossalign.audit.run import Embedder, Progress, audit_vectors, embed_collection
from haystack_crossalign.audit.scenarios import select_scenarios
from haystack_crossalign.audit.similarity import RankedBy, settle_similarity
from haystack_crossalign.data.collection import JudgedCollection
from haystack_crossalign.data.formats.beir import read_beir
from haystack_crossalign.data.formats.read import read_collection, title_field_of
from haystack_crossalign.data.formats.run_files import Run, read_run
from haystack_crossalign.data.reading_log import ReadingLog
from haystack_crossalign.errors import InputError
from haystack_crossalign.models.names import DEFAULT_MODEL
from haystack_crossalign.opensearch.model.fit import SAME
from haystack_crossalign.ranks import Similarity, parse_similarity

if TYPE_CHECKING:
    from haystack_crossalign.measures import Measure

_SAMPLE = 16


class CollectionAudit:
    """An audit of a judged collection; its rows are known before a model is opened.

    :param collection: documents, queries and judgments.
    :param measured: what is measured.
    :param similarity: similarity for ranking; None for the store's or the model's.
    :param of_store: similarity of the document store that the vectors come from.
    :param described: other choices of the user, for the provenance.
    :param accept_model: continue if the model does not seem to be the one that made the vectors of the collection.
    :param command: name of the command, for the provenance.
    :raises InputError: for a language that the data does not have, or scenarios without rows.
    """

    def __init__(
        self,
        collection: JudgedCollection,
        measured: Measured,
        *,
        similarity: Similarity | None = None,
        of_store: Similarity | None = None,
        described: Mapping[str, Any] | None = None,
        accept_model: bool = False,
        command: str = "audit",
    ) -> None:
        self.collection, self.plan = select_scenarios(
            collection, measured.scenarios, measured.languages, measured.pairs
        )
        self.ranked_by = RankedBy()
        self._measured = measured
        self._measures = measured.chosen_measures
        self._similarity, self._of_store = similarity, of_store
        self._options = {**measured.described, **(described or {}), **({"accept_model": True} if accept_model else {})}
        self._accept_model = accept_model
        self._command = command

    @property
    def needs_model(self) -> bool:
        """Whether documents or queries lack vectors."""
        return self.collection.documents.vectors is None or self.collection.queries.vectors is None

    def run(self, embedder: Embedder | None, *, progress: Progress | None = None) -> AuditResult:
        """Embed texts without vectors, and rank everything exactly.

        :param embedder: the embedder; None if all texts have vectors.
        :param progress: called with the current step, the amount done, and the total.
        :raises InputError: if vectors are missing or have different dimensions, or another model made those there are.
        """
        if embedder is not None and not self._accept_model:
            check_model(self.collection, embedder, seed=self._measured.seed)
        self.collection = embed_collection(self.collection, embedder, progress=progress)
        model = None if embedder is None else embedder.provenance()
        self.ranked_by = settle_similarity(model, self._similarity, self._of_store)
        return audit_vectors(
            self.collection,
            self.plan,
            provenance=build_provenance(
                self._command,
                describe_data(self.collection),
                model=model,
                options=self._options,
                seed=self._measured.seed,
                ranked_by=self.ranked_by,
            ),
            similarity=self.ranked_by.similarity,
            measures=self._measures,
            also=self._measured.also,
            seed=self._measured.seed,
            samples=self._measured.samples,
            progress=progress,
        )


def check_model(collection: JudgedCollection, embedder: Embedder, *, seed: int = 0) -> None:
    """Check that the model that is to embed the queries made the vectors of the documents, or the other way round.

    A sample of the texts that have vectors is embedded again. The median cosine with those vectors must be at least
    that at which a model counts as that of an index.

    :param collection: documents and queries; where both have vectors, or neither, there is nothing to compare.
    :param embedder: the model.
    :param seed: draws the sample.
    :raises InputError: if it is another model.
    """
    documents, queries = collection.documents, collection.queries
    # What is cut short in the sample is not counted with the texts that are embedded for the audit.
    model: Embedder = getattr(embedder, "counting_anew", lambda: embedder)()
    if documents.vectors is not None and queries.vectors is None:
        _require_same_model(documents.texts, documents.vectors, model.encode_documents, "document", seed)
    elif queries.vectors is not None and documents.vectors is None:
        _require_same_model(queries.texts, queries.vectors, model.encode_queries, "query", seed)


def _require_same_model(
    texts: Sequence[str],
    vectors: NDArray[np.float32],
    encode: Callable[[Sequence[str]], NDArray[np.float32]],
    role: str,
    seed: int,
) -> None:
    chosen = np.sort(np.random.default_rng(seed).permutation(len(texts))[:_SAMPLE])
    made, stored = encode([texts[number] for number in chosen.tolist()]), vectors[chosen]
    many = {"document": "documents", "query": "queries"}[role]
    if made.shape[1] != stored.shape[1]:
        raise InputError(
            f"the model makes vectors of {made.shape[1]} dimensions, those of the {many} have {stored.shape[1]}",
            source="--model",
            allowed="the model that made the vectors",
        )
    lengths = np.linalg.norm(made, axis=1) * np.linalg.norm(stored, axis=1)
    median = float(np.median((made * stored).sum(axis=1) / np.where(lengths > 0, lengths, 1)))
    if median < SAME:
        title = " and title (--title-field)" if role == "document" else ""
        raise InputError(
            f"does not seem to be the model of the vectors: {len(chosen)} {many} embedded again have a median cosine "
            "below that of one model",
            source="--model",
            seen=round(median, 4),
            allowed=f"{SAME} or more: the model and prompts (--{role}-prefix){title} that made the vectors; an audit "
            "goes on with --accept-model",
        )


def audit_collection(
    collection: JudgedCollection,
    model: str | Embedder | None = None,
    *,
    scenarios: Sequence[str] = ("multi",),
    languages: Sequence[str] | None = None,
    pairs: str | None = None,
    measures: Sequence[str | Measure] | None = None,
    similarity: str | None = None,
    seed: int = 0,
    samples: int = 1000,
    accept_model: bool = False,
    progress: Progress | None = None,
) -> AuditResult:
    """Rank the relevant documents of every query in the whole pool, exactly, and measure the language bias.

    :param collection: documents, queries and judgments, from `read_collection` or another reader. Existing vectors are
        used.
    :param model: hub name, folder, ``offline:multilingual-e5-small`` or an `Encoder`; None for the default model if the
        collection lacks vectors.
    :param scenarios: ``multi`` (one pool of all languages), ``mono-same``, ``mono-cross``.
    :param languages: languages of the pool, as BCP-47 tags; None for all.
    :param pairs: one pool of this language and X for every other language X, instead of one pool of all.
    :param measures: names such as ``Max@R``, or measures; None for the default ones.
    :param similarity: ``cosine``, ``dot``, ``euclidean`` or ``manhattan``; None for the model's, or cosine if all
        vectors came with the collection.
    :param seed: seed of the bootstrap.
    :param samples: bootstrap samples behind each interval.
    :param accept_model: continue if the model does not seem to be the one that made the vectors of the collection; the
        result says so.
    :param progress: called with what is being done, how much of it is done, and of how much.
    :raises InputError: for an unknown language, scenario, measure or similarity, vectors of different dimensions, or a
        model other than the one that made the vectors of the documents (or of the queries).
    :raises ExternalError: if the model cannot be loaded.
    """
    audit = CollectionAudit(
        collection,
        Measured(scenarios=scenarios, languages=languages, pairs=pairs, measures=measures, seed=seed, samples=samples),
        accept_model=accept_model,
        similarity=None if similarity is None else parse_similarity(similarity, field="similarity"),
    )
    return audit.run(opened(model) if audit.needs_model else None, progress=progress)


def audit_run(
    collection: JudgedCollection,
    run: Run | Path | str,
    *,
    depth: int | None = None,
    measures: Sequence[str | Measure] | None = None,
    seed: int = 0,
    samples: int = 1000,
) -> AuditResult:
    """Audit the result lists of a search engine in a TREC run. Ranks beyond the end of a list are censored.

    :param collection: documents, queries and judgments; vectors are ignored.
    :param run: the run, or its file.
    :param depth: number of documents requested; None for the length of the longest list.
    :param measures: names such as ``Max@R``, or measures; None for the default ones.
    :param seed: seed of the bootstrap.
    :param samples: bootstrap samples behind each interval.
    :raises InputError: for a damaged run, or one with documents or queries that the collection lacks.
    """
    lists = run if isinstance(run, Run) else read_run(run)
    return audit_lists(collection, lists, Measured(measures=measures, seed=seed, samples=samples), depth=depth)


def audit_lists(
    collection: JudgedCollection,
    run: Run,
    measured: Measured,
    *,
    depth: int | None = None,
    merged: bool = True,
    described: Mapping[str, Any] | None = None,
    log: ReadingLog | None = None,
) -> AuditResult:
    """Audit the lists of a run.

    :param collection: documents, queries and judgments.
    :param run: the lists.
    :param measured: measures, bootstrap and seed; scenarios and languages are those of the collection.
    :param depth: number of documents requested; None for the length of the longest list.
    :param merged: whether ranks count versions, or every hit.
    :param described: other choices of the user, for the provenance.
    :param log: what was left out when reading the run.
    :raises InputError: for documents or queries that the collection lacks.
    """
    options = {
        "results": {"name": run.source.name, "sha256": run.source.sha256},
        "depth": depth,
        **{name: measured.described[name] for name in ("measures", "samples")},
        **(described or {}),
    }
    return audit_ranked_lists(
        collection,
        run,
        provenance=build_provenance(
            "audit", describe_data(collection), model=None, options=options, seed=measured.seed
        ),
        measures=measured.chosen_measures,
        also=measured.also,
        depth=depth,
        merged=merged,
        samples=measured.samples,
        seed=measured.seed,
        log=log,
    )


def read_files(request: FilesRequest, *, log: ReadingLog, keep_unanswerable: bool = False) -> JudgedCollection:
    """Read the judged collection of a request: files, or a BEIR folder.

    :param request: the files and how they are read.
    :param log: decides whether invalid rows are left out, and counts them.
    :param keep_unanswerable: keep queries without a relevant document, to convert judgments.
    :raises InputError: if both or neither are given, or a file is invalid.
    """
    shared: dict[str, Any] = {
        "language_field": request.language_field,
        "group_field": request.group_field,
        "title_field": title_field_of(request.title_field),
        "url_field": request.url_field,
        "default_language": request.query_language,
        "expand_groups": bool(request.expand_groups),
        "detect": request.detect_languages,
        "relevance_level": request.relevance_level,
        "keep_unanswerable": keep_unanswerable,
        "log": log,
    }
    files = request.judged_files()
    if files is None:
        # Documents of these folders may have a default language, too, but it is not that of the queries.
        shared["query_language"] = shared.pop("default_language")
        return read_beir(request.beir or "", split=request.split, **shared)
    return read_collection(
        *files,
        qrels=request.qrels,
        workbench=request.workbench,
        document_vectors=request.document_vectors,
        query_vectors=request.query_vectors,
        **shared,
    )


def reading_log(skip_invalid: bool) -> ReadingLog:
    """A log that decides whether invalid rows are left out; errors mention the option.

    :param skip_invalid: --skip-invalid.
    """
    return ReadingLog(skip_invalid=skip_invalid, remedy="or --skip-invalid, which leaves out and counts what is wrong")


def opened(model: str | Embedder | None) -> Any:
    """Return an embedder, or load the model with a name.

    :param model: hub name, folder, or an embedder; None for the default model.
    :raises CrossAlignError: if the model cannot be loaded.
    """
    from haystack_crossalign.models.encoder import Encoder

    if model is None or isinstance(model, str):
        return Encoder(model or DEFAULT_MODEL)
    return model.counting_anew() if isinstance(model, Encoder) else model
