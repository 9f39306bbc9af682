"""Real OpenSearch servers for the tests, one of each version, started when first asked for.

In this order: the server at ``CROSSALIGN_OPENSEARCH_URL``; Docker, where an engine answers; a server assembled with
Maven. The server with the security plugin always comes from Maven. `requirements` says what happens where none can be
had.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from opensearch_server import OpenSearchServer
from requirements import docker_answers, require

VERSIONS = ["3.6.0", "2.19.1"]

EXTERNAL_URL = os.environ.get("CROSSALIGN_OPENSEARCH_URL")
IMAGE = "opensearchproject/opensearch"


class Server:
    """A running server that tests may fill: requests that write go through `request`, outside of the guarded client."""

    def __init__(self, url: str) -> None:
        self.url = url

    def request(self, method: str, path: str, body: object = None) -> Any:
        data, kind = None, "application/json"
        if isinstance(body, list):
            data, kind = "".join(json.dumps(line) + "\n" for line in body).encode(), "application/x-ndjson"
        elif body is not None:
            data = json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method, headers={"Content-Type": kind})  # noqa: S310
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return json.loads(answer.read() or "null")


# In 3.x, Lucene's vector instructions, which round in their own way, need the optimizing compiler, which would take a
# third of the server's processor time: only the code that runs most often gets it.
_COMPILE_LESS = (
    "-XX:Tier4InvocationThreshold=400000",
    "-XX:Tier4MinInvocationThreshold=50000",
    "-XX:Tier4CompileThreshold=1200000",
    "-XX:Tier4BackEdgeThreshold=400000",
)


@pytest.fixture(scope="session")
def servers() -> Iterator[Callable[..., Any]]:
    """Starts a server of a version once per session, and ends them all."""
    running: dict[tuple[str, bool], Any] = {}
    stops: list[Callable[[], object]] = []

    def get(version: str, *, security: bool = False) -> Any:
        require("server")
        if (version, security) not in running:
            if EXTERNAL_URL and not security:
                running[version, security] = Server(EXTERNAL_URL.rstrip("/"))
            elif not security and docker_answers():
                running[version, security], stop = _start_in_docker(version)
                stops.append(stop)
            else:
                quick = version == "2.19.1"
                server = OpenSearchServer(version, security=security, quick=quick, java=() if quick else _COMPILE_LESS)
                stops.append(server.stop)
                running[version, security] = server.start()
        return running[version, security]

    yield get
    for stop in stops:
        stop()


def _start_in_docker(version: str) -> tuple[Server, Callable[[], object]]:
    command = ["docker", "run", "--rm", "-d", "-p", "127.0.0.1::9200", "-e", "discovery.type=single-node"]
    command += ["-e", "DISABLE_SECURITY_PLUGIN=true", "-e", "OPENSEARCH_JAVA_OPTS=-Xms1g -Xmx1g", f"{IMAGE}:{version}"]
    name = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    port = subprocess.run(["docker", "port", name, "9200/tcp"], capture_output=True, text=True, check=True).stdout
    server = Server(f"http://{port.split()[0]}")
    deadline = time.monotonic() + 300
    while True:
        try:
            server.request("GET", "/_cluster/health?wait_for_status=yellow&timeout=30s")
        except (urllib.error.URLError, OSError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
        else:
            return server, lambda: subprocess.run(["docker", "stop", name], capture_output=True, check=False)


@pytest.fixture(params=["external"] if EXTERNAL_URL else VERSIONS, scope="session")
def opensearch(request: pytest.FixtureRequest, servers: Callable[..., Any]) -> Any:
    """A server without security, in each version."""
    return servers(request.param)


@pytest.fixture(scope="session")
def secure_opensearch(servers: Callable[..., Any]) -> OpenSearchServer:
    """A 2.19.1 server with TLS, users and roles; the administrator's requests go through its ``request``."""
    return servers("2.19.1", security=True)


def vector_mapping(dimension: int, space: str = "cosinesimil", data_type: str = "float") -> dict[str, Any]:
    """Mapping with a Lucene vector field (the assembled servers hold no native libraries)."""
    method = {"name": "hnsw", "engine": "lucene", "space_type": space}
    vector = {"type": "knn_vector", "dimension": dimension, "data_type": data_type, "method": method}
    return {
        "properties": {
            "embedding": vector,
            "language": {"type": "keyword"},
            "group": {"type": "keyword"},
            "tenant": {"type": "keyword"},
            "content": {"type": "text", "fields": {"raw": {"type": "keyword"}}},
        }
    }


def create_index(
    server: Any,
    name: str,
    documents: dict[str, dict[str, Any]],
    mapping: dict[str, Any],
    *,
    shards: int = 2,
    delete: tuple[str, ...] = (),
    settings: dict[str, Any] | None = None,
) -> None:
    """Create an index again, write the documents in three segments or more, then delete some of them."""
    try:
        server.request("DELETE", f"/{name}")
    except urllib.error.HTTPError as error:
        if error.code != 404:
            raise
    settings = {"index.knn": True, "number_of_shards": shards, "number_of_replicas": 0, **(settings or {})}
    server.request("PUT", f"/{name}", {"settings": settings, "mappings": mapping})
    items = list(documents.items())
    for part in np.array_split(np.arange(len(items)), 3):
        lines: list[dict[str, Any]] = []
        for number in part:
            identifier, document = items[number]
            lines += [{"index": {"_id": identifier}}, document]
        if lines:
            answer = server.request("POST", f"/{name}/_bulk?refresh=true", lines)
            assert not answer["errors"], answer["items"][0]
    for identifier in delete:
        server.request("DELETE", f"/{name}/_doc/{identifier}")
    server.request("POST", f"/{name}/_refresh")


@pytest.fixture(scope="session")
def indexing() -> SimpleNamespace:
    """The helpers that set indices up."""
    return SimpleNamespace(create=create_index, mapping=vector_mapping)
