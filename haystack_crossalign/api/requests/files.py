"""Requests for audits of files or of a document store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from haystack_crossalign.api.requests.judged import COUNTED, Judged
from haystack_crossalign.errors import InputError


@dataclass(frozen=True, kw_only=True)
class FilesRequest(Judged):
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
        self.check_count()
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
            **self.described_judgments,
            **({} if self.id_field is None else {"id_field": self.id_field}),
            **({} if self.url_field is None else {"url_field": self.url_field}),
        }
