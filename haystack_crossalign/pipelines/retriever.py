"""Use any Haystack query pipeline in YAML as a read-only source of retrieved lists."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
from haystack import Document, Pipeline
from haystack.core.errors import PipelineError, PipelineRuntimeError
from numpy.typing import NDArray
from opensearchpy.exceptions import TransportError

from haystack_crossalign.errors import CrossAlignError, ExternalError, InputError
from haystack_crossalign.languages import UNDETERMINED, is_missing_language, normalize_language
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.connection.failures import ROLE_PAGE, MissingPermissionError, explain, is_busy
from haystack_crossalign.opensearch.connection.patient import Patience
from haystack_crossalign.opensearch.connection.point_in_time import PointInTime
from haystack_crossalign.opensearch.connection.read_only import ID_IN_INDEX, INDEX_OF_ID, WriteRefusedError
from haystack_crossalign.opensearch.connection.traffic import Traffic
from haystack_crossalign.opensearch.index.groups import members_by_name, written_documents
from haystack_crossalign.opensearch.index.pool import MULTIPLE, IndexView
from haystack_crossalign.opensearch.live.hits import Hit, checked_depth
from haystack_crossalign.pipelines.custom_queries import check_custom_queries
from haystack_crossalign.pipelines.documents import comparison_value, known_group
from haystack_crossalign.pipelines.file import PipelineFile, load_pipeline, read_pipeline_file
from haystack_crossalign.pipelines.guard import guarded_mapping, hold_to_reading, refuse_named_writers
from haystack_crossalign.pipelines.shape import PipelineShape, cut_to_documents
from haystack_crossalign.redaction import redacted

_ALLOWED = "a Haystack pipeline that turns a query into documents"
_LOOK = "indices:admin/get"
# Exceptions of building or warming up a component: missing models, packages, variables, connections.
_FAILURES = (OSError, ValueError, TypeError, RuntimeError, LookupError, AttributeError, ImportError)


class QueryPipeline:
    """Result lists of a pipeline. It searches the current index, since it cannot be given a point in time.

    The depth is passed to retrievers that take ``top_k`` at run time, and to joiners after them. If a ranker or another
    component follows, the lists have the length configured in the pipeline. Components after the documents, such as a
    generator, are not run.

    `notes` contains sentences for the report on what cannot be guaranteed.

    :param pipeline: a read-only pipeline.
    :param shape: how to run it.
    :param file: its file.
    :param view: the audited index, to check that the documents belong to it; None for no check.
    :param id_field: meta field with the document's id in the index; None if it is the document's own id.
    :param language_field: meta field of the language, with or without the prefix ``meta.``.
    :param group_field: meta field of the parallel group.
    :param patience: how long to try again while the cluster is busy.
    :param notes: see above.
    """

    name = "pipeline"

    def __init__(
        self,
        pipeline: Pipeline,
        shape: PipelineShape,
        file: PipelineFile,
        *,
        view: IndexView | None = None,
        id_field: str | None = None,
        language_field: str = "language",
        group_field: str | None = "parallel_id",
        patience: Patience | None = None,
        notes: tuple[str, ...] = (),
    ) -> None:
        self.notes = notes
        self._pipeline = pipeline
        self._shape = shape
        self._file = file
        self._view = view
        self._id_field = id_field
        self._language_of = _from_meta(language_field)
        self._group_of = None if group_field is None else _from_meta(group_field)
        self._id_of = None if id_field is None else _from_meta(id_field)
        self._patience = patience or Patience()
        self._warm = False
        self._joined = view is None

    @classmethod
    def from_yaml(
        cls,
        path: str | Path,
        *,
        client: ReadOnlyClient | None = None,
        view: IndexView | None = None,
        id_field: str | None = None,
        language_field: str = "language",
        group_field: str | None = "parallel_id",
        timeout: float = 60.0,
        environ: Mapping[str, str] | None = None,
        trust_remote_code: bool = False,
    ) -> QueryPipeline:
        """Read, check and build a pipeline, without sending any request.

        :param path: the file.
        :param client: the audit's client: its connection is used for stores without hosts, its `traffic` records the
            requests of all OpenSearch stores, and its retry time applies to them.
        :param view: the audited index; lists with documents that it does not contain are rejected.
        :param id_field: meta field with the document's id in the index; None if it is the document's own id.
        :param language_field: meta field of the language.
        :param group_field: meta field of the parallel group, None if there is none.
        :param timeout: timeout in seconds for stores without one.
        :param environ: environment for ``${NAME}`` in hosts and index; None for that of the process.
        :param trust_remote_code: whether models of the pipeline may run their own code.
        :raises InputError: if the file is not such a pipeline, contains a writer, or does not have exactly one result.
        """
        file = read_pipeline_file(path, allowed=_ALLOWED, trust_remote_code=trust_remote_code)
        refuse_named_writers(file.data, file.path)
        data = guarded_mapping(
            file.data,
            file.path,
            traffic=client.traffic if client is not None else Traffic(),
            connection=client.connection() if client is not None else None,
            timeout=timeout,
            environ=os.environ if environ is None else environ,
        )
        pipeline = load_pipeline(file, data)
        notes = hold_to_reading(pipeline, file.path)
        check_custom_queries(pipeline, file.path)
        return cls(
            pipeline,
            cut_to_documents(pipeline, file.path),
            file,
            view=view,
            id_field=id_field,
            language_field=language_field,
            group_field=group_field,
            patience=client.patience if client is not None else None,
            notes=notes,
        )

    @property
    def needs_vectors(self) -> bool:
        """Whether the pipeline takes vectors of the queries instead of embedding them itself."""
        return bool(self._shape.vectors)

    def close(self) -> None:
        """Close the resources of the pipeline's components."""
        self._pipeline.close()

    def asked_depth(self, depth: int) -> int | None:
        """The depth if the lists are made only by retrievers and joiners, else None."""
        return depth if self._shape.deep else None

    def retrieve(
        self,
        texts: Sequence[str],
        vectors: NDArray[np.float32] | None,
        depth: int,
        target: str | PointInTime,
        *,
        languages: Sequence[str] = (),  # noqa: ARG002  the protocol's
    ) -> list[list[Hit]]:
        """Result lists, see `haystack_crossalign.opensearch.live.lists.Retrieval`.

        The pipeline does not search the target, which is only used to look up its documents in the audited index.

        :raises InputError: if vectors are needed but missing, or documents are not in the audited index.
        :raises ExternalError: if a component failed, naming it.
        """
        checked_depth(depth)
        if self.needs_vectors and (vectors is None or len(vectors) != len(texts)):
            raise InputError(
                "the pipeline needs a vector for each query",
                source=self._file.path,
                field="query_embedding",
                seen=None if vectors is None else len(vectors),
            )
        self._warm_up()
        lists = []
        for row, text in enumerate(texts):
            documents = self._run(text, None if vectors is None else vectors[row], depth)
            lists.append([self._hit(document) for document in documents[:depth]])
        return self._with_index(lists, target)

    def provenance(self) -> dict[str, Any]:
        """File, hash and classes; no parameters, which could contain secrets."""
        return {
            "name": self.name,
            "file": self._file.path.name,
            "sha256": self._file.sha256,
            "components": {
                name: f"{type(part).__module__}.{type(part).__qualname__}"
                for name, part in sorted(self._pipeline.walk(), key=lambda pair: pair[0])
            },
            "output": ".".join(self._shape.output),
            "depth_set_on": [f"{name}.{socket}" for name, socket in self._shape.depths],
            "id_field": self._id_field,
        }

    def _warm_up(self) -> None:
        if self._warm:
            return
        for name, part in self._pipeline.walk():
            if hasattr(part, "warm_up"):
                try:
                    part.warm_up()
                except CrossAlignError as error:
                    raise ExternalError(f"{self._file.path.name}: component '{name}' cannot start: {error}") from error
                except _FAILURES as error:
                    raise ExternalError(
                        f"{self._file.path.name}: component '{name}' cannot start: {_one_line(error)}"
                    ) from error
        self._warm = True

    def _run(self, text: str, vector: NDArray[np.float32] | None, depth: int) -> list[Document]:
        inputs: dict[str, dict[str, Any]] = {}
        values: list[tuple[tuple[tuple[str, str], ...], Any]] = [
            (self._shape.texts, text),
            (self._shape.text_lists, [text]),
            (self._shape.vectors, None if vector is None else [float(value) for value in vector]),
            (self._shape.depths, depth),
        ]
        for sockets, value in values:
            for name, socket in sockets:
                inputs.setdefault(name, {})[socket] = value
        name, socket = self._shape.output
        waiting = self._patience.begin()
        while True:
            try:
                # A component on a branch that was not taken did not run and so found nothing.
                documents = self._pipeline.run(inputs, include_outputs_from={name}).get(name, {}).get(socket)
                return list(documents or [])
            except (PipelineError, PipelineRuntimeError, ValueError) as error:
                lost = _transport_error(error)
                if lost is None or not is_busy(lost) or not waiting.pause():
                    raise self._failure(error) from error

    def _failure(self, error: Exception) -> CrossAlignError:
        """The error for a failed run, with the component's name."""
        name = getattr(error, "component_name", None)
        where = f"{self._file.path.name}: component '{name}'" if name else self._file.path.name
        for cause in _causes(error):
            if isinstance(cause, WriteRefusedError):
                return InputError(
                    f"component '{name}' tried to write; an audit only reads ({cause})", source=self._file.path
                )
        lost = _transport_error(error)
        if lost is not None:
            meant = explain(lost, request="a search", host=where)
            if isinstance(meant, MissingPermissionError) and not meant.permissions:
                # Document stores first check the index with HEAD, whose response has no body with details.
                return MissingPermissionError(
                    f"{where}: its document store may not look for the index: the user lacks the permission "
                    f"'{_LOOK}'; see {ROLE_PAGE}",
                    (_LOOK,),
                )
            return meant if isinstance(meant, InputError) else ExternalError(str(meant))
        return ExternalError(f"{where} failed: {_one_line(error.__cause__ or error)}")

    def _hit(self, document: Document) -> Hit:
        # OpenSearch stores return the id in the index, which may differ from the id inside the document.
        name: Any = document.meta.get(ID_IN_INDEX, document.id)
        if self._view is not None and INDEX_OF_ID in document.meta and ID_IN_INDEX in document.meta:
            name = self._view.names.of(document.meta)
        if self._id_of is not None:
            name = self._id_of(document)
            if name is None:
                raise InputError(
                    "a document of the pipeline lacks the id that it has in the index",
                    source=self._file.path,
                    field=self._id_field,
                    seen=document.id,
                )
        group = None if self._group_of is None else known_group(self._group_of(document))
        score = float("nan") if document.score is None else float(document.score)
        return Hit(str(name), score, self._tag(document), None if group is None else str(group))

    def _tag(self, document: Document) -> str:
        value = self._language_of(document)
        if isinstance(value, list):
            different = list(dict.fromkeys(value))
            value = MULTIPLE if len(different) > 1 else different[0] if different else None
        if is_missing_language(value) or value == UNDETERMINED:
            return UNDETERMINED
        if self._view is not None:
            return self._view.tag(str(value))
        return normalize_language(value, source=self._file.path, field="language")

    def _with_index(self, lists: list[list[Hit]], target: str | PointInTime) -> list[list[Hit]]:
        """Complete lists with data from the index for documents whose language the pipeline does not return."""
        if self._view is None:
            return lists
        # The point in time of the view may already be closed.
        view = copy(self._view)
        view.target = target
        lists = self._named(view, lists)
        identifiers = dict.fromkeys(hit.id for row in lists for hit in row)
        unclear = {hit.id for row in lists for hit in row if hit.language == UNDETERMINED}
        # One list is enough to check whether the ids are those of the index.
        wanted = unclear if self._joined else unclear | {hit.id for hit in next(filter(None, lists), [])}
        known = members_by_name(view, wanted)
        if identifiers and not self._joined:
            if not known:
                raise InputError(
                    "the audited index holds none of the documents that the pipeline returns",
                    source=self._file.path,
                    field=self._id_field or "id",
                    seen=next(iter(identifiers)),
                    allowed="documents by the ids of the index; another meta field may hold them (id_field)",
                )
            self._joined = True
        return [
            [
                Hit(hit.id, hit.score, known[hit.id].language, hit.group or known[hit.id].group)
                if hit.id in known and hit.language == UNDETERMINED
                else hit
                for hit in row
            ]
            for row in lists
        ]

    def _named(self, view: IndexView, lists: list[list[Hit]]) -> list[list[Hit]]:
        """Behind an alias, names for documents of which the pipeline returned only the id."""
        if not view.names.with_index:
            return lists
        found = written_documents(view, {hit.id for row in lists for hit in row if not view.names.is_written(hit.id)})
        for written, documents in found.items():
            if len(documents) > 1:
                raise InputError(
                    f"the pipeline returns a document by an id that {len(documents)} of the indices hold",
                    source=self._file.path,
                    field=self._id_field or "id",
                    seen=written,
                    allowed="documents as an OpenSearch store returns them, or ids that one index holds",
                )
        names = {written: documents[0].identifier for written, documents in found.items()}
        return [[hit._replace(id=names.get(hit.id, hit.id)) for hit in row] for row in lists]


def _from_meta(field: str) -> Callable[[Document], Any]:
    return comparison_value(f"meta.{field.removeprefix('meta.')}")


def _causes(error: BaseException) -> list[BaseException]:
    """An error, what caused it, and so on."""
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in chain:
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__
    return chain


def _transport_error(error: BaseException) -> TransportError | None:
    return next((cause for cause in _causes(error) if isinstance(cause, TransportError)), None)


def _one_line(error: BaseException) -> str:
    """The message of an error, shortened and without line breaks."""
    return redacted(" ".join(str(error).split()))[:300] or type(error).__name__
