"""A Haystack component that moves the embeddings of documents by a matrix, without embedding any text."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from haystack import Document, component, default_from_dict, default_to_dict

from haystack_crossalign.errors import InputError
from haystack_crossalign.models.identity import compare_models, model_name
from haystack_crossalign.upgrade.documents.vectors import MatrixWay
from haystack_crossalign.upgrade.ways import NewVectors, by_matrix


@component
class MatrixDocumentEmbedder:
    """Gives documents the embeddings of a repaired model, made from those that they have.

    ```python
    embedder = MatrixDocumentEmbedder(matrix="repaired/matrix.safetensors")
    documents = embedder.run(documents)["documents"]
    ```

    :param matrix: matrix file, as ``crossalign repair`` and linear recipes write it.
    """

    def __init__(self, *, matrix: str) -> None:
        self.matrix = matrix
        self._new: NewVectors | None = None

    def warm_up(self) -> None:
        """Read the matrix; a second call does nothing.

        :raises InputError: the file is missing, damaged or something else.
        """
        self._prepare()

    @component.output_types(documents=list[Document])
    def run(self, documents: list[Document], model: dict[str, Any] | None = None) -> dict[str, list[Document]]:
        """Move embeddings.

        :param documents: any number of documents; they are not changed. Those without an embedding stay as they are.
        :param model: the model that made their embeddings, as `IndexDocumentReader` tells it; None where unknown.
        :returns: ``{"documents": [...]}``, new documents in the same order.
        :raises InputError: an embedding that the matrix does not fit, or another model than the matrix is for.
        """
        new = self._prepare()
        if model is not None and new.base is not None:
            differences, _ = compare_models(model, new.base)
            if differences:
                self._refuse("model", f"the matrix is for {model_name(new.base)}: {'; '.join(differences)}")
        if model is not None and model.get("matrix") == new.sha256:
            self._refuse("model", "these embeddings were moved by this matrix already")
        if not isinstance(new.way, MatrixWay):
            raise TypeError("a matrix file gives a way by a matrix")
        having = [document for document in documents if document.embedding is not None]
        for document in having:
            length = len(document.embedding or [])
            if length != new.dimension:
                self._refuse("embedding", f"that of document '{document.id}' has {length} numbers, not {new.dimension}")
        if not having:
            return {"documents": list(documents)}
        vectors = np.asarray([document.embedding for document in having], dtype=np.float64)
        wrong = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
        if wrong.size:
            self._refuse("embedding", f"that of document '{having[int(wrong[0])].id}' is not finite")
        moved = iter(new.way.map.apply(vectors).tolist())
        return {
            "documents": [
                document if document.embedding is None else replace(document, embedding=next(moved))
                for document in documents
            ]
        }

    @component.output_types(documents=list[Document])
    async def run_async(
        self, documents: list[Document], model: dict[str, Any] | None = None
    ) -> dict[str, list[Document]]:
        """`run` in a thread, so that the event loop stays free."""
        return await asyncio.to_thread(self.run, documents, model)

    def provenance(self) -> Mapping[str, Any]:
        """What an index with these embeddings should say of its model.

        :raises InputError: as `warm_up`.
        """
        return dict(self._prepare().model)

    def to_dict(self) -> dict[str, Any]:
        """The component as a dictionary, for YAML."""
        data: dict[str, Any] = default_to_dict(self, matrix=self.matrix)
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> MatrixDocumentEmbedder:
        """The component from its dictionary."""
        made: MatrixDocumentEmbedder = default_from_dict(cls, data)
        return made

    def _prepare(self) -> NewVectors:
        if self._new is None:
            self._new = by_matrix(self.matrix)
        return self._new

    @staticmethod
    def _refuse(field: str, problem: str) -> None:
        raise InputError(problem, source="MatrixDocumentEmbedder", field=field)
