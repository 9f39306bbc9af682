"""An OpenSearch with models inside: connectors to an embedding service on loopback that answers with the real model.

Only where asked for (``make test-cluster-models``): the plugin's parts are 390 MB.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from local_servers import Received, http_server
from numpy.typing import NDArray
from opensearch_server import OpenSearchServer
from requirements import require

from haystack_crossalign.models.encoder import Encoder

VERSION = "3.6.0"
_DENSE = {"embedding_dimension": 384, "framework_type": "sentence_transformers"}


@dataclass
class ModelCluster:
    """A running server, and the ids of its models.

    :param server: the server; what is written goes through its ``request``.
    :param dense: a text embedding model.
    :param single: the same by a service that embeds only the first of several texts.
    :param sparse: a sparse encoding model: words with their numbers as weights.
    :param asked: texts that the service was asked for.
    """

    server: OpenSearchServer
    _encoder: Encoder
    dense: str = ""
    single: str = ""
    sparse: str = ""
    asked: list[str] = field(default_factory=list)
    _known: dict[str, NDArray[np.float32]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Address of the server."""
        return self.server.url

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of the model behind all dense ones: queries and documents have the same prompt.

        Each text is embedded once, and alone: the others of a batch change the last digits.
        """
        for text in texts:
            if text not in self._known:
                self._known[text] = self._encoder.encode_queries([text])[0]
        return np.stack([self._known[text] for text in texts])


@pytest.fixture(scope="session")
def model_cluster(offline_model: str) -> Iterator[ModelCluster]:
    """A server of version 3.6.0 with three models."""
    require("cluster models")
    encoder = Encoder(offline_model, precision="fp32")
    with OpenSearchServer(VERSION, models=True) as server:
        cluster = ModelCluster(server, encoder)

        def answer(received: Received) -> tuple[int, Any]:
            texts = json.loads(received.body)["input"]
            cluster.asked += texts
            if received.target == "/sparse":
                return 200, [{word: float(words.count(word)) for word in words} for words in map(str.split, texts)]
            vectors = cluster.vectors(texts[: 1 if received.target == "/single" else None])
            data = [{"index": place, "embedding": vector.tolist()} for place, vector in enumerate(vectors)]
            return 200, {"data": data}

        with http_server(answer) as service:
            cluster.dense = _register(server, "TEXT_EMBEDDING", f"{service}/dense", "openai.embedding", _DENSE)
            cluster.single = _register(server, "TEXT_EMBEDDING", f"{service}/single", "openai.embedding", _DENSE)
            cluster.sparse = _register(server, "SPARSE_ENCODING", f"{service}/sparse", None, {})
            yield cluster


def _register(server: OpenSearchServer, kind: str, address: str, functions: str | None, config: dict[str, Any]) -> str:
    """Register a model behind a service, deploy it, and return its id."""
    action = {
        "action_type": "predict",
        "method": "POST",
        "url": address,
        "headers": {"Authorization": "Bearer ${credential.key}"},
        "request_body": '{"input": ${parameters.input}}',
        "pre_process_function": f"connector.pre_process.{functions or 'openai.embedding'}",
    }
    if functions is not None:
        action["post_process_function"] = f"connector.post_process.{functions}"
    connector: Any = server.request("POST", "/_plugins/_ml/connectors/_create", {
        "name": kind, "description": address, "version": 1, "protocol": "http",
        "parameters": {"unused": "1"}, "credential": {"key": "none"}, "actions": [action],
    })  # fmt: skip
    if config:
        config = {**config, "additional_config": {"space_type": "cosinesimil"}}
    task: Any = server.request("POST", "/_plugins/_ml/models/_register?deploy=true", {
        "name": address.rpartition("/")[2], "function_name": "remote", "description": address,
        "connector_id": connector["connector_id"], "model_config": {"model_type": kind, **config},
    })  # fmt: skip
    identifier = str(task["model_id"])
    deadline = time.monotonic() + 60
    while True:
        model: Any = server.request("GET", f"/_plugins/_ml/models/{identifier}")
        if model["model_state"] == "DEPLOYED":
            return identifier
        assert time.monotonic() < deadline, model
        time.sleep(0.2)
