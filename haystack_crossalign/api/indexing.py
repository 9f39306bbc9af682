"""Documents of a file written into an index, by a Haystack pipeline: the one command here that writes documents."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from haystack import Document
from haystack.core.errors import PipelineError, PipelineRuntimeError

from haystack_crossalign import pipelines
from haystack_crossalign.audit.run import Progress
from haystack_crossalign.components.opensearch_bulk import RefusedDocumentsError, index_of
from haystack_crossalign.data.formats.jsonl import records, unique_id
from haystack_crossalign.errors import CrossAlignError, ExternalError, InputError
from haystack_crossalign.files.reading import TextFile
from haystack_crossalign.files.records import Record
from haystack_crossalign.opensearch.connection.addresses import checked_address
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.index.mapped_fields import flatten_mapping
from haystack_crossalign.pipelines.file import PipelineFile, load_pipeline, load_store, read_pipeline_file
from haystack_crossalign.redaction import redacted

_ALLOWED = "a Haystack pipeline that takes documents and writes them"
_BATCH = 64
_STORE = "OpenSearchDocumentStore"
_EMBEDDER = "CrossAlignDocumentEmbedder"
_ATTRIBUTE = "embedder"
_NOT_META = frozenset({"id", "text", "content", "meta", "metadata", "embedding", "sparse_embedding", "score", "blob"})


@dataclass
class Written:
    """What was written so far.

    :param documents: documents of the file.
    :param written: documents that are in the index.
    :param failed: documents that the cluster refused.
    :param reason: why, for the first of them; empty if there are none.
    """

    documents: int
    written: int = 0
    failed: int = 0
    reason: str = ""

    @property
    def left_out(self) -> int:
        """Documents that the pipeline passed over, as its policy for duplicates may say."""
        return self.documents - self.written - self.failed


def default_pipeline() -> Path:
    """The file ``pipelines/index.yaml``: as installed, or in a checkout."""
    name = "index.yaml"
    installed = Path(pipelines.__file__).parent / name
    return installed if installed.is_file() else Path(__file__).parents[2] / "pipelines" / name


def read_indexing_file(path: Path, *, trust_remote_code: bool = False) -> PipelineFile:
    """Read a pipeline, without building it.

    :param path: the file.
    :param trust_remote_code: whether its models may run their own code.
    :raises InputError: if it is no pipeline.
    """
    return read_pipeline_file(path, allowed=_ALLOWED, trust_remote_code=trust_remote_code)


def check_documents(path: Path, *, language_field: str, group_field: str) -> int:
    """Read the whole file once, so that nothing is written if a line is wrong; returns the number of documents.

    :param path: JSON Lines with ``id``, ``text``, and fields of any name.
    :param language_field: field of the language, which may be missing.
    :param group_field: field of the parallel group, which may be missing.
    :raises InputError: for the first line that is wrong.
    """
    count = sum(1 for _ in _documents(path, language_field, group_field))
    if not count:
        raise InputError("no document", source=path, allowed="at least one")
    return count


def check_mapping(client: ReadOnlyClient, index: str, file: PipelineFile) -> int | None:
    """Refuse an index whose fields are not those that the pipeline would create.

    :param client: connection.
    :param index: index or alias.
    :param file: the pipeline.
    :returns: the number of its documents; None if there is no such index.
    :raises InputError: naming the first field that differs.
    """
    try:
        mappings = client.mapping(index)
    except InputError as error:
        if error.source != "index":
            raise
        return None
    wanted = dict(flatten_mapping(_store(file.data).get("mappings", {}).get("properties", {})))
    for name, mapping in sorted(mappings.items()):
        fields = dict(flatten_mapping(mapping.get("mappings", {}).get("properties", {})))
        for path, field in wanted.items():
            seen = None if path not in fields else _described(fields[path].definition)
            expected = _described(field.definition)
            if seen != expected:
                raise InputError(
                    "the index has another mapping than the pipeline would create",
                    source=name,
                    field=path,
                    seen="no such field" if seen is None else seen,
                    allowed=f"{expected}; or an index of another name",
                )
    return client.count(index)


def check_place(file: PipelineFile, *, hosts: Sequence[str], index: str, set_by: Mapping[str, str]) -> None:
    """Refuse a pipeline that would write to another place than the one asked for, or leaves an option unread.

    :param file: the pipeline.
    :param hosts: addresses of the cluster.
    :param index: index or alias.
    :param set_by: options that were given, by the environment variable that hands them to the pipeline.
    :raises InputError: naming the field or the option.
    """
    for part in _stores(file.data):
        store = load_store(file, part)
        named = store._hosts if isinstance(store._hosts, list) else [store._hosts]
        seen = [checked_address(host.strip()) if isinstance(host, str) else host for host in named]
        if sorted(map(str, seen)) != sorted(checked_address(host) for host in hosts):
            raise InputError(
                "the pipeline writes to another cluster", source=file.path, field="hosts",
                seen=", ".join(map(str, seen)), allowed=f"{', '.join(hosts)}, as --hosts says; or CROSSALIGN_HOSTS",
            )  # fmt: skip
        if index_of(store) != index:
            raise InputError(
                "the pipeline writes to another index", source=file.path, field="index", seen=index_of(store),
                allowed=f"{index}, as --index says; or CROSSALIGN_INDEX",
            )  # fmt: skip
    read = {name for part in _mappings(file.data) for name in (part.get("variable"), *(part.get("env_vars") or ()))}
    for variable, option in set_by.items():
        if variable not in read:
            raise InputError(
                f"the pipeline {file.path.name} does not read it", source=option,
                allowed=f"an embedder that takes it from {variable}; or the value in the pipeline and no {option}",
            )  # fmt: skip


def with_dimension_and_timeout(file: PipelineFile, *, timeout: float) -> tuple[PipelineFile, dict[str, Any]]:
    """The pipeline with the dimension of its model in the mapping of the index that it creates, and with a timeout.

    Only for pipelines with one `CrossAlignDocumentEmbedder` and a store whose mapping has one vector field; others stay
    as they are.

    :param file: the pipeline.
    :param timeout: seconds to wait for one answer.
    :returns: the pipeline, and its embedder by name, which has the model loaded; empty for another pipeline.
    :raises CrossAlignError: if the model cannot be loaded.
    """
    data = copy.deepcopy(dict(file.data))
    embedders = {
        name: part for name, part in data["components"].items() if str(part.get("type", "")).endswith(_EMBEDDER)
    }
    store = _store(data)
    vectors = [
        value for value in store.get("mappings", {}).get("properties", {}).values() if value.get("type") == "knn_vector"
    ]
    if len(embedders) != 1 or len(vectors) != 1:
        return file, {}
    name = next(iter(embedders))
    alone = load_pipeline(file, {"components": copy.deepcopy(embedders)})
    embedder: Any = alone.get_component(name)
    embedder.warm_up()
    alone.remove_component(name)  # a component belongs to one pipeline
    vectors[0]["dimension"] = embedder.provenance()["dimension"]
    store["timeout"] = timeout
    if "embedding_dim" in store:
        store["embedding_dim"] = vectors[0]["dimension"]
    return PipelineFile(file.path, data, file.sha256, file.allowed), {name: embedder}


def write_documents(
    file: PipelineFile,
    path: Path,
    written: Written,
    *,
    language_field: str,
    group_field: str,
    ready: Mapping[str, Any],
    progress: Progress | None = None,
) -> None:
    """Write the documents of a file, batch by batch. Documents that the cluster refuses are counted.

    :param file: the pipeline.
    :param path: the documents.
    :param written: counted on as documents are written, so that it is right after an error too.
    :param language_field: field of the language; it is stored as ``language``.
    :param group_field: field of the parallel group; it is stored as ``parallel_id``.
    :param ready: components that are taken as they are, from `with_dimension_and_timeout`.
    :param progress: called with the step, the documents done, and their number.
    :raises InputError: if the pipeline does not take documents, or its index is one of another model.
    :raises ExternalError: if a component failed, other than by refused documents.
    """
    pipeline = load_pipeline(file, components=ready)
    for _, part in pipeline.walk():
        # A writer that was given an embedder of its own would load the model a second time.
        own: Any = getattr(part, _ATTRIBUTE, None)
        for embedder in ready.values():
            if type(own) is type(embedder) and own.to_dict() == embedder.to_dict():
                setattr(part, _ATTRIBUTE, embedder)
    takers = [name for name, sockets in pipeline.inputs().items() if "documents" in sockets]
    if len(takers) != 1:
        raise InputError(
            f"{len(takers)} components wait for documents", source=file.path, field="components", seen=sorted(takers),
            allowed="one component with an open input 'documents'",
        )  # fmt: skip
    documents = _documents(path, language_field, group_field)
    done = 0
    try:
        while batch := list(islice(documents, _BATCH)):
            if progress is not None:
                progress("Indexing", done, written.documents)
            try:
                outputs = pipeline.run({takers[0]: {"documents": batch}})
                written.written += sum(int(output.get("documents_written", 0)) for output in outputs.values())
            except (PipelineError, PipelineRuntimeError) as error:
                refused = next((cause for cause in _causes(error) if isinstance(cause, RefusedDocumentsError)), None)
                if refused is None:
                    raise _failure(file, error) from error
                written.written += refused.written
                written.failed += len(batch) - refused.written
                written.reason = written.reason or redacted(refused.reasons)
            done += len(batch)
    finally:
        if hasattr(pipeline, "close"):
            pipeline.close()


def _failure(file: PipelineFile, error: Exception) -> CrossAlignError:
    own = next((cause for cause in _causes(error) if isinstance(cause, CrossAlignError)), None)
    if own is not None:
        return own
    return ExternalError(f"{file.path.name}: {redacted(str(error.__cause__ or error)).splitlines()[0]}")


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__


def _documents(path: Path, language_field: str, group_field: str) -> Iterator[Document]:
    lines: dict[str, int] = {}
    for record in records(TextFile(path)):
        name = unique_id(record, "id", lines)
        lines[name] = record.line or 0
        yield Document(id=name, content=record.text("text", "content"), meta=_meta(record, language_field, group_field))


def _meta(record: Record, language_field: str, group_field: str) -> dict[str, Any]:
    meta: dict[str, Any] = {}
    for inner in ("meta", "metadata"):
        if isinstance(values := record.values.get(inner), Mapping):
            meta |= values
    meta |= record.values
    # Fields of the stored names are not the ones that were chosen, if these have others.
    taken = {name for name, chosen in (("language", language_field), ("parallel_id", group_field)) if name != chosen}
    meta = {key: value for key, value in meta.items() if key not in _NOT_META | taken and value is not None}
    language = record.language(language_field, "")
    group = record.optional_identifier(group_field)
    meta |= {"language": language} if language else {}
    meta |= {} if group is None else {"parallel_id": group}
    return meta


def _store(data: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of the OpenSearch store of a pipeline; empty if it has none, or several."""
    stores = _stores(data)
    return (stores[0].get("init_parameters") or {}) if len(stores) == 1 else {}


def _stores(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The OpenSearch stores of a pipeline."""
    return [part for part in _mappings(data) if str(part.get("type", "")).rpartition(".")[2] == _STORE]


def _mappings(data: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The mapping, and all within it."""
    pending: list[Any] = [data]
    while pending:
        value = pending.pop()
        if isinstance(value, Mapping):
            yield dict(value)
            pending += value.values()
        elif isinstance(value, list):
            pending += value


def _described(definition: Mapping[str, Any]) -> str:
    """What of a field decides how it can be searched and counted by."""
    kind = str(definition.get("type", "object"))
    if kind != "knn_vector":
        return kind
    space = definition.get("method", {}).get("space_type") or definition.get("space_type")
    return f"{kind} of {definition.get('dimension')} dimensions, {space or 'the default space'}"
