"""Use any Haystack text and document embedders, read from a pipeline in YAML, as the embedder of an audit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from haystack import Document, Pipeline
from haystack.core.errors import PipelineError, PipelineRuntimeError
from numpy.typing import NDArray

from haystack_crossalign.errors import ExternalError, InputError
from haystack_crossalign.models.quiet import quiet_libraries
from haystack_crossalign.pipelines.file import load_pipeline, read_pipeline_file
from haystack_crossalign.pipelines.guard import built_parts
from haystack_crossalign.pipelines.store import store_similarity
from haystack_crossalign.redaction import redacted

_BATCH = 256
"""Number of documents per call: enough for a batch of any embedder, few enough to show progress."""

_ALLOWED = "a Haystack pipeline with one text embedder (text -> embedding) and one document embedder (documents)"


class PipelineEmbedder:
    """Embeds with the two embedders of a pipeline: OpenAI, Cohere, or your own server.

    :param pipeline: a pipeline with one text embedder and one document embedder; connections are ignored.
    :param name: its name in the provenance.
    :param sha256: hash of the file it was read from.
    :raises InputError: if the pipeline does not hold exactly one of each.
    """

    def __init__(self, pipeline: Pipeline, *, name: str = "pipeline", sha256: str | None = None) -> None:
        self._text_name = _only(pipeline, name, "text", "embedding")
        self._document_name = _only(pipeline, name, "documents", "documents")
        self._whole = pipeline
        # A separate pipeline for each, so that Haystack warms it up and names the component in errors.
        self._text_embedder = _alone(pipeline, self._text_name)
        self._document_embedder = _alone(pipeline, self._document_name)
        for part in (self._text_embedder, self._document_embedder):
            _without_bar(part)
        self._name = name
        self._sha256 = sha256
        self._dimension: int | None = None

    @classmethod
    def from_yaml(cls, path: str | Path, *, trust_remote_code: bool = False) -> PipelineEmbedder:
        """Read the pipeline from a file.

        :param trust_remote_code: whether its models may run their own code.
        :raises InputError: if the file cannot be read or is not such a pipeline.
        """
        file = read_pipeline_file(path, allowed=_ALLOWED, trust_remote_code=trust_remote_code)
        return cls(load_pipeline(file), name=file.path.name, sha256=file.sha256)

    def encode_queries(
        self, texts: Sequence[str], *, progress: Callable[[int, int], None] | None = None
    ) -> NDArray[np.float32]:
        """Embed queries, each distinct text once: float32 [n, dim]."""
        distinct = list(dict.fromkeys(texts))
        vectors = []
        for number, text in enumerate(distinct):
            if progress is not None:
                progress(number, len(distinct))
            vectors.append(self._call(self._text_name, self._text_embedder, text=text)["embedding"])
        return self._matrix(texts, distinct, vectors, self._text_name)

    def encode_documents(
        self, texts: Sequence[str], *, progress: Callable[[int, int], None] | None = None
    ) -> NDArray[np.float32]:
        """Embed documents, each distinct text once: float32 [n, dim]."""
        distinct = list(dict.fromkeys(texts))
        vectors: list[Any] = []
        for start in range(0, len(distinct), _BATCH):
            if progress is not None:
                progress(start, len(distinct))
            batch = [Document(content=text) for text in distinct[start : start + _BATCH]]
            embedded = self._call(self._document_name, self._document_embedder, documents=batch)["documents"]
            by_text = {document.content: document.embedding for document in embedded}
            vectors += [by_text.get(document.content) for document in batch]
        return self._matrix(texts, distinct, vectors, self._document_name)

    def provenance(self) -> dict[str, Any]:
        """File, hash, classes of both embedders, and the dimension; no parameters, which could contain secrets."""
        return {
            "name": self._name,
            "sha256": self._sha256,
            "text_embedder": _class_name(self._text_embedder.get_component(self._text_name)),
            "document_embedder": _class_name(self._document_embedder.get_component(self._document_name)),
            "dimension": self._dimension,
            **self._similarity(),
        }

    def _similarity(self) -> dict[str, Any]:
        """The similarity: that of a document store in the file, or else of the document embedder's model."""
        parts = {name: store_similarity(part) for name, part in built_parts(self._whole)}
        stated = {name: similarity for name, similarity in parts.items() if similarity is not None}
        if len(set(stated.values())) > 1:
            raise InputError(
                "its document stores compare vectors in different ways",
                source=self._name,
                field="components",
                seen=stated,
                allowed="stores with one embedding_similarity_function or space_type",
            )
        if stated:
            return {"similarity": next(iter(stated.values())), "similarity_from": "store"}
        similarity = _model_similarity(self._document_embedder.get_component(self._document_name))
        return {} if similarity is None else {"similarity": similarity}

    def _call(self, name: str, pipeline: Pipeline, **inputs: Any) -> dict[str, Any]:
        try:
            with quiet_libraries(only_loaded=True):
                output: dict[str, Any] = pipeline.run({name: inputs})[name]
        except (PipelineError, PipelineRuntimeError) as error:
            cause = error.__cause__ or error
            raise ExternalError(f"the embedder '{name}' of {self._name} failed: {redacted(str(cause))}") from error
        return output

    def _matrix(
        self, texts: Sequence[str], distinct: Sequence[str], vectors: Sequence[Any], name: str
    ) -> NDArray[np.float32]:
        for text, vector in zip(distinct, vectors, strict=True):
            if vector is None or (self._dimension is not None and len(vector) != self._dimension):
                raise ExternalError(
                    f"the embedder '{name}' of {self._name} gave "
                    f"{'no vector' if vector is None else f'{len(vector)} numbers instead of {self._dimension}'} "
                    f"for {text[:60]!r}"
                )
            self._dimension = len(vector)
        row = {text: number for number, text in enumerate(distinct)}
        matrix = np.asarray(vectors, dtype=np.float32)
        wrong = np.flatnonzero(~np.isfinite(matrix).all(axis=1) | ~matrix.any(axis=1))
        if len(wrong):
            text = distinct[wrong[0]][:60]
            raise ExternalError(f"the embedder '{name}' of {self._name} gave NaN, infinity or only zeros for {text!r}")
        return np.ascontiguousarray(matrix[[row[text] for text in texts]])


def _only(pipeline: Pipeline, source: str, wanted_input: str, wanted_output: str) -> str:
    inputs = pipeline.inputs(include_components_with_connected_inputs=True)
    outputs = pipeline.outputs(include_components_with_connected_outputs=True)
    fitting = [name for name in inputs if wanted_input in inputs[name] and wanted_output in outputs.get(name, {})]
    if len(fitting) != 1:
        raise InputError(
            f"holds {len(fitting)} components that turn '{wanted_input}' into '{wanted_output}'",
            source=source,
            field="components",
            seen=sorted(inputs),
            allowed=_ALLOWED,
        )
    return str(fitting[0])


def _alone(pipeline: Pipeline, name: str) -> Pipeline:
    return Pipeline.from_dict({"components": {name: pipeline.to_dict()["components"][name]}})


def _without_bar(pipeline: Pipeline) -> None:
    """Disable the progress bars of Haystack's embedders, since a command shows its own progress or none."""
    for _, part in built_parts(pipeline):
        if isinstance(getattr(part, "progress_bar", None), bool):
            part.progress_bar = False


def _model_similarity(part: Any) -> str | None:
    """The similarity stated by an embedder's model, if it is a loaded sentence-transformers model."""
    for path in (("_encoder", "similarity"), ("embedding_backend", "model", "similarity_fn_name")):
        value = part
        for name in path:
            value = getattr(value, name, None)
        if isinstance(value, str):
            return value
    return None


def _class_name(part: object) -> str:
    return f"{type(part).__module__}.{type(part).__qualname__}"
