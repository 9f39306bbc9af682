"""A model inside the cluster, as an embedder: the vectors of a `neural` query, without loading a model here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from haystack_crossalign.errors import ExternalError, InputError
from haystack_crossalign.models.names import CLUSTER_PREFIX
from haystack_crossalign.models.prompts import Prompts
from haystack_crossalign.opensearch.connection.answers import AnswerCheck
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.connection.failures import RefusedRequestError
from haystack_crossalign.opensearch.connection.read_only import embedding_path

_BATCH = 16
_PREFIXES = ("query_prefix", "document_prefix")
_Role = Literal["query", "passage"]
# OpenSearch's refusal to embed a text with a model that has prompts of its own, unless it is told which one to put.
_TWO_SIDED = "asymmetric"


class ClusterModel:
    """Embed texts with a model that the cluster runs or reaches by a connector.

    Predicting changes nothing in the cluster; the connection allows this request for this model only.

    :param client: connection.
    :param name: ``cluster:`` and the id of the model.
    :param options: options given for the model; only ``query_prefix`` and ``document_prefix`` are possible.
    :raises InputError: for another option, or a name without an id.
    """

    def __init__(self, client: ReadOnlyClient, name: str, options: Mapping[str, Any]) -> None:
        self._client = client
        self._identifier = name.removeprefix(CLUSTER_PREFIX)
        if not self._identifier:
            raise InputError("names no model", source="--model", seen=name, allowed=f"{CLUSTER_PREFIX}ID")
        for option in options:
            if option not in _PREFIXES:
                raise InputError(
                    "a model inside the cluster decides this itself",
                    source=f"--{option.replace('_', '-')}",
                    seen=options[option],
                    allowed="--query-prefix, --document-prefix",
                )
        self.prompts = Prompts(options.get("query_prefix") or "", options.get("document_prefix") or "", "option")
        self._dimension: int | None = None
        self._two_sided = False
        client.models.add(self._identifier)

    def with_prompts(self, prompts: Prompts) -> ClusterModel:
        """The same model with other prompts."""
        prefixes = {"query_prefix": prompts.query, "document_prefix": prompts.document}
        return ClusterModel(self._client, f"{CLUSTER_PREFIX}{self._identifier}", prefixes)

    def encode_queries(
        self, texts: Sequence[str], *, progress: Callable[[int, int], None] | None = None
    ) -> NDArray[np.float32]:
        """Embed queries, each distinct text once: float32 [n, dim].

        :raises CrossAlignError: the cluster has no such model, refuses it, or answers with something else.
        """
        return self._encode([self.prompts.query + text for text in texts], "query", progress)

    def encode_documents(
        self, texts: Sequence[str], *, progress: Callable[[int, int], None] | None = None
    ) -> NDArray[np.float32]:
        """Embed documents, each distinct text once: float32 [n, dim].

        :raises CrossAlignError: as `encode_queries`.
        """
        return self._encode([self.prompts.document + text for text in texts], "passage", progress)

    def provenance(self) -> dict[str, Any]:
        """Name, prompts, the dimension once it is known, and a sentence for the report."""
        before = f", with {self.prompts.query!r} before each" if self.prompts.query else ""
        return {
            "name": f"{CLUSTER_PREFIX}{self._identifier}",
            "dimension": self._dimension,
            "prompts": {"query": self.prompts.query, "document": self.prompts.document},
            "notes": [f"The cluster's own model '{self._identifier}' embedded the queries{before}."],
        }

    def _encode(
        self, texts: Sequence[str], role: _Role, progress: Callable[[int, int], None] | None
    ) -> NDArray[np.float32]:
        rows = {text: row for row, text in enumerate(dict.fromkeys(texts))}
        distinct = list(rows)
        vectors: list[list[float]] = []
        for start in range(0, len(distinct), _BATCH):
            if progress is not None:
                progress(start, len(distinct))
            part = distinct[start : start + _BATCH]
            answer = self._predict(part, role)
            # Connectors to services that embed one text at a time answer for the first one.
            vectors += (
                answer
                if len(answer) == len(part)
                else [output for text in part for output in self._predict([text], role)]
            )
        lengths = {len(vector) for vector in vectors}
        if len(vectors) != len(distinct) or len(lengths) > 1:
            of = f" of {', '.join(map(str, sorted(lengths)))} dimensions" if lengths else ""
            raise ExternalError(
                f"{self._client.hosts[0]}: model '{self._identifier}' gave {len(vectors)} vectors{of} for "
                f"{len(distinct)} texts"
            )
        self._dimension = next(iter(lengths), self._dimension)
        matrix = np.array(vectors, dtype=np.float32).reshape(len(vectors), -1)
        return matrix[[rows[text] for text in texts]]

    def _predict(self, texts: Sequence[str], role: _Role) -> list[list[float]]:
        path = embedding_path(self._identifier)
        body: dict[str, Any] = {"text_docs": list(texts), "return_number": True}
        body["target_response"] = ["sentence_embedding"]
        if self._two_sided:
            body["parameters"] = {"content_type": role}
        try:
            answer = self._client.request("POST", path, body=body)
        except RefusedRequestError as error:
            if not self._two_sided and _TWO_SIDED in str(error):
                self._two_sided = True
                return self._predict(texts, role)
            raise InputError(
                f"the cluster does not embed with this model: {error}",
                source="--model",
                seen=f"{CLUSTER_PREFIX}{self._identifier}",
                allowed="the id of a deployed text embedding model, in a cluster with the machine learning plugin",
            ) from None
        check = AnswerCheck(self._client.hosts[0], f"POST {path}")
        vectors: list[list[float]] = []
        for number, result in enumerate(check.items(answer.get("inference_results"), "inference_results")):
            place = f"inference_results.{number}"
            for output in check.items(check.mapping(result, place).get("output"), f"{place}.output"):
                vector = check.items(check.mapping(output, f"{place}.output").get("data"), f"{place}.output.data")
                for value in vector:
                    check.number(value if value is not None else "null", f"{place}.output.data")
                vectors.append(vector)
        return vectors
