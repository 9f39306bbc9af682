"""Requests for audits of files and of an index, for both the command line and Python."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from haystack_crossalign.api.model_options import ModelOptions
from haystack_crossalign.errors import InputError
from haystack_crossalign.opensearch.connection.settings import LiveSettings

if TYPE_CHECKING:
    from haystack_crossalign.measures import Measure
    from haystack_crossalign.opensearch.audit.options import AuditOptions

RETRIEVALS = (
    "knn",
    "bm25",
    "hybrid",
    "hybrid:rrf",
    "hybrid:minmax",
    "hybrid:native-rrf",
    "hybrid:native-minmax",
)
"""Lists that can be retrieved from an index; ``hybrid`` is short for ``hybrid:rrf``."""

COUNTED = ("versions", "hits")
"""What ranks in lists count."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What is measured, for any kind of audit.

    :param scenarios: ``multi`` (one pool of all languages), ``mono-same``, ``mono-cross``.
    :param languages: languages of the pool and of the queries, as BCP-47 tags; None for all.
    :param pairs: one pool of this language and X for every other language X, instead of one pool of all.
    :param measures: names such as ``Max@R``, or measures; None for the default ones.
    :param also: additional measures, for a gate.
    :param samples: bootstrap samples behind each interval.
    :param seed: seed of the bootstrap.
    """

    scenarios: Sequence[str] = ("multi",)
    languages: Sequence[str] | None = None
    pairs: str | None = None
    measures: Sequence[str | Measure] | None = None
    also: Sequence[Measure] = ()
    samples: int = 1000
    seed: int = 0

    @property
    def chosen_measures(self) -> list[Measure] | None:
        """The measures without duplicates; None for the default ones.

        :raises InputError: for an unknown name.
        """
        if self.measures is None:
            return None
        from haystack_crossalign.measures import parse_measure

        parsed = [parse_measure(measure) if isinstance(measure, str) else measure for measure in self.measures]
        return list({measure.name: measure for measure in parsed}.values())

    @property
    def described(self) -> dict[str, Any]:
        """What the user chose, as JSON values."""
        measures = self.chosen_measures
        return {
            "scenarios": list(self.scenarios),
            "languages": None if self.languages is None else list(self.languages),
            "pairs": self.pairs,
            "measures": None if measures is None else [measure.name for measure in measures],
            "samples": self.samples,
        }


@dataclass(frozen=True, kw_only=True)
class _Judged:
    """Queries and judgments, and how they are read.

    :param queries: JSON Lines, or TSV with qrels.
    :param qrels: relevant documents, as TREC qrels.
    :param workbench: relevant documents, as a judgment list of OpenSearch's Search Relevance Workbench.
    :param query_language: language of queries without one.
    :param expand_groups: whether all versions of a relevant document are also relevant; None for yes in an index and no
        in files.
    :param relevance_level: least grade of a relevant document.
    :param skip_invalid: leave out and count invalid rows.
    :param count: what ranks in lists count: ``versions``, or ``hits`` as users see them.
    :param measured: what is measured.
    :param model: model for texts without vectors.
    """

    queries: Path | None = None
    qrels: Path | None = None
    workbench: Path | None = None
    query_language: str | None = None
    expand_groups: bool | None = None
    relevance_level: int = 1
    skip_invalid: bool = False
    count: str = COUNTED[0]
    measured: Measured = field(default_factory=Measured)
    model: ModelOptions = field(default_factory=ModelOptions)

    def __post_init__(self) -> None:
        """Convert file names to paths."""
        for entry in fields(self):
            if "Path" in str(entry.type) and isinstance(value := getattr(self, entry.name), str):
                object.__setattr__(self, entry.name, Path(value))

    def _check_count(self) -> None:
        if self.count not in COUNTED:
            raise InputError("unknown choice", source="--count", seen=self.count, allowed=", ".join(COUNTED))

    @property
    def _described(self) -> dict[str, Any]:
        return {
            **({} if self.relevance_level == 1 else {"relevance_level": self.relevance_level}),
            **({"skip_invalid": True} if self.skip_invalid else {}),
            **({} if self.count == COUNTED[0] else {"count": self.count}),
        }


@dataclass(frozen=True, kw_only=True)
class FilesRequest(_Judged):
    """An audit of files, or of a document store: documents, queries and judgments, with a model, a run or a pipeline.

    :param documents: JSON Lines.
    :param document_vectors: vectors of the documents: ``.npy``, ``.fbin`` or ``.parquet``.
    :param query_vectors: vectors of the queries, as a numpy table.
    :param beir: a folder in BEIR's format, instead of documents, queries and judgments.
    :param split: name of the qrels in that folder.
    :param language_field: field that holds the language.
    :param group_field: field that versions of one content share.
    :param title_field: field that is put before a document's text; None for ``title``, empty for none.
    :param url_field: field that holds the address of a document's page, to which reports link; None for none.
    :param detect_languages: detect the language of texts without one.
    :param results: result lists of a search engine, as a TREC run, instead of a model.
    :param run_order: order of that run if scores and ranks contradict each other.
    :param store: a Haystack document store in YAML, whose documents and vectors take the place of the documents.
    :param pipeline: a Haystack query pipeline in YAML, whose result lists take the place of a ranking.
    :param id_field: meta field of the ids that queries name, in the store's and the pipeline's documents; None for
        their own ids.
    :param depth: length of the pipeline's lists.
    :param timeout: seconds that OpenSearch stores wait for an answer.
    :param accept_model: continue if the model does not seem to be the one that made the vectors there are.
    """

    documents: Path | None = None
    document_vectors: Path | None = None
    query_vectors: Path | None = None
    beir: Path | None = None
    split: str = "test"
    language_field: str = "language"
    group_field: str = "parallel_id"
    title_field: str | None = None
    url_field: str | None = None
    detect_languages: bool = False
    results: Path | None = None
    run_order: str | None = None
    store: Path | None = None
    pipeline: Path | None = None
    id_field: str | None = None
    depth: int = 100
    timeout: float = 60.0
    accept_model: bool = False

    def check(self) -> None:
        """Reject contradictory options and missing files, before anything is read.

        :raises InputError: naming the option.
        """
        self.model.check()
        self._check_parts()
        if self.results is not None and (self.document_vectors, self.query_vectors) != (None, None):
            raise InputError(
                "--results takes the place of vectors",
                source="--results",
                allowed="--results without --document-vectors, --query-vectors",
            )
        if self.results is None:
            if self.run_order is not None:
                raise InputError("--run-order is for --results", source="--run-order", allowed="--results FILE with it")
            return
        wrong = [*self.model.named, *(["--similarity"] if self.model.similarity is not None else [])]
        wrong += [f"--{name}" for name in ("languages", "pairs") if getattr(self.measured, name) is not None]
        wrong += ["--scenario"] if tuple(self.measured.scenarios) != ("multi",) else []
        if wrong:
            raise InputError(
                "--results takes the place of a ranking of our own", source="--results", seen=", ".join(wrong),
                allowed=f"--results without {', '.join(wrong)}",
            )  # fmt: skip

    def judged_files(self) -> tuple[Path, Path] | None:
        """The files of documents and queries; None for a BEIR folder.

        :raises InputError: if neither or both are given.
        """
        if self.beir is not None:
            files = (self.documents, self.queries, self.qrels, self.workbench)
            if any(path is not None for path in (*files, self.document_vectors, self.query_vectors)):
                raise InputError(
                    "--beir takes the place of --documents, --queries, their vectors, --qrels and --workbench",
                    allowed="either a folder or files",
                )
            return None
        if self.documents is None or self.queries is None:
            raise InputError(
                "no documents and queries",
                allowed="--documents and --queries, --store and --queries, --index, or --beir; or try: crossalign demo",
            )
        return self.documents, self.queries

    def _check_parts(self) -> None:
        for option, path, others in (
            ("--store", self.store, {"--documents": self.documents, "--document-vectors": self.document_vectors,
                                     "--beir": self.beir, "--results": self.results}),
            ("--pipeline", self.pipeline, {"--results": self.results, "--document-vectors": self.document_vectors}),
        ):  # fmt: skip
            for other, value in others.items():
                if path is not None and value is not None:
                    raise InputError(f"{option} and {other} exclude each other", source=option, allowed="one of them")
        self._check_count()
        if self.count != COUNTED[0] and self.results is None and self.pipeline is None:
            raise InputError("is for lists", source="--count", allowed="--results, --pipeline or --index with it")
        if self.split != FilesRequest.split and self.beir is None:
            raise InputError("names qrels of a BEIR folder", source="--split", allowed="--beir DIR with it")
        if self.id_field is not None and self.store is None and self.pipeline is None:
            raise InputError(
                "names a field of a store's or a pipeline's documents", source="--id-field",
                allowed="--store, --pipeline or --index with it",
            )  # fmt: skip
        if self.pipeline is not None and (
            (self.measured.languages, self.measured.pairs) != (None, None)
            or tuple(self.measured.scenarios) != ("multi",)
            or self.model.similarity is not None
        ):
            raise InputError(
                "a pipeline searches all of its documents, in its own way",
                source="--pipeline",
                allowed="--pipeline without --languages, --pairs, --scenario, --similarity",
            )

    @property
    def described(self) -> dict[str, Any]:
        """The user's choices other than what is measured, as JSON values."""
        return {
            "expand_groups": bool(self.expand_groups),
            **self._described,
            **({} if self.id_field is None else {"id_field": self.id_field}),
            **({} if self.url_field is None else {"url_field": self.url_field}),
        }


@dataclass(frozen=True, kw_only=True)
class IndexRequest(_Judged):
    """An audit of a live index, which is only read.

    :param settings: the index, its fields, the connection, and limits of the load.
    :param live: lists that users get, from `RETRIEVALS`; None for ``knn``, or for none if there are requests.
    :param live_fields: fields of the keyword search, such as ``title^2``; empty for the content field of the settings
        if it is not the default one, else for all fields.
    :param requests: files with your own searches, whose lists are added under the files' names; see
        `haystack_crossalign.opensearch.requests.file.read_request`.
    :param request_size: number of documents to request, instead of that in the files.
    :param pipeline: a Haystack query pipeline in YAML, whose lists replace these.
    :param id_field: meta field with the ids of the pipeline's documents in the index.
    :param user_filter: OpenSearch query that restricts the pool.
    :param sample: share of the index to score for each query; None for all of it.
    :param probes: number of contents to make queries from, if there are no queries.
    :param accept_model: continue if the model does not seem to be the index's; the result says so.
    :param state: file for finished work.
    :param resume: file of an earlier audit to continue.
    """

    settings: LiveSettings = field(default_factory=LiveSettings)
    live: Sequence[str] | None = None
    live_fields: Sequence[str] = ()
    requests: Sequence[Path] = ()
    request_size: int | None = None
    pipeline: Path | None = None
    id_field: str | None = None
    user_filter: dict[str, Any] | None = None
    sample: float | None = None
    probes: int | None = None
    accept_model: bool = False
    state: Path | None = None
    resume: Path | None = None

    @property
    def retrievals(self) -> tuple[str, ...]:
        """Names of the retrieved lists, as in the rows of the result."""
        return (*self.lists, *(Path(path).stem for path in self.requests))

    @property
    def lists(self) -> tuple[str, ...]:
        """Those of them that are not the requests'."""
        from haystack_crossalign.audit.gate import SHORT_NAMES

        if self.pipeline is not None:
            return ("pipeline",)
        retrievals = self.live if self.live is not None else () if self.requests else ("knn",)
        return tuple(dict.fromkeys(SHORT_NAMES.get(name, name) for name in retrievals))

    def check(self) -> None:
        """Reject contradictory options and missing files, before any request to the cluster.

        :raises InputError: naming the option.
        """
        self.model.check()
        if self.model.similarity is not None:
            raise InputError(
                "an index ranks by the space of its vector field, which the result names",
                source="--similarity",
                seen=self.model.similarity,
                allowed="--index without --similarity",
            )
        if self.state is not None and self.resume is not None:
            raise InputError("--state begins a file, --resume goes on with one", allowed="one of them")
        # Both are checked again when they are used.
        if self.state is not None and self.state.exists():
            raise InputError(
                "already exists", source="--state", seen=str(self.state), allowed="a new file, or --resume to go on"
            )
        if self.resume is not None and not self.resume.is_file():
            raise InputError("no such file", source="--resume", seen=str(self.resume))
        if self.queries is None and (self.qrels is not None or self.workbench is not None):
            raise InputError("judgments without queries", source="--qrels", allowed="--queries FILE")
        for name in self.live or ():
            if name not in RETRIEVALS:
                raise InputError("unknown list", source="--live", seen=name, allowed=", ".join(RETRIEVALS))
        self._check_count()
        self._check_requests()
        if self.sample is not None and not 0 < self.sample < 1:
            raise InputError(
                "not a share of the documents", source="--sample", seen=self.sample, allowed="more than 0, less than 1"
            )

    def _check_requests(self) -> None:
        from haystack_crossalign.opensearch.live.text_fields import check_text_fields
        from haystack_crossalign.opensearch.requests.file import read_requests

        check_text_fields(self.live_fields)
        if self.live_fields and not any(name.startswith(("bm25", "hybrid")) for name in self.lists):
            raise InputError(
                "no list searches words", source="--live-fields", seen=list(self.live_fields), allowed="--live bm25"
            )
        if self.request_size is not None and not self.requests:
            raise InputError("is for --request", source="--request-size", allowed="--request FILE with it")
        read_requests(self.requests, size=self.request_size)
        if "hybrid" in (self.live or ()) and "hybrid" in self.retrievals:
            raise InputError("two lists are called hybrid", source="--request", allowed="another name of the file")

    def options(self) -> AuditOptions:
        """What is measured, in the form needed for the audit of an index.

        :raises InputError: for an unknown language or measure.
        """
        from haystack_crossalign.languages import normalize_language
        from haystack_crossalign.opensearch.audit.options import AuditOptions

        measured = self.measured
        languages, measures = measured.languages, measured.chosen_measures
        if languages is not None:
            languages = tuple(dict.fromkeys(normalize_language(tag, source="--languages") for tag in languages))
        return AuditOptions(
            scenarios=tuple(measured.scenarios),
            languages=languages,
            pairs=None if measured.pairs is None else normalize_language(measured.pairs, source="--pairs"),
            user_filter=self.user_filter,
            measures=None if measures is None else tuple(measures),
            also=tuple(measured.also),
            sample=self.sample,
            samples=measured.samples,
            seed=measured.seed,
            count=self.count,
        )

    def described(self, options: AuditOptions) -> dict[str, Any]:
        """The user's choices, without file names, as JSON values.

        :param options: those of this request.
        """
        return {
            **{name: value for name, value in self.settings.describe().items() if value is not None},
            **self.measured.described,
            "languages": None if options.languages is None else list(options.languages),
            "pairs": options.pairs,
            "filter": self.user_filter,
            "live": list(self.retrievals),
            **({"live_fields": list(self.live_fields)} if self.live_fields else {}),
            **({} if self.request_size is None else {"request_size": self.request_size}),
            "sample": self.sample,
            "probes": self.probes,
            "expand_groups": self.expand_groups,
            **self._described,
        }
