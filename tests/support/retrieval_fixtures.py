"""An index that query pipelines ask, and pipelines as files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from query_pipelines import DIMENSION, INDEX, WORDS

from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.connection.patient import Patience
from haystack_crossalign.opensearch.connection.traffic import Exchange, Traffic


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    def write(components: dict[str, Any], connections: Any = ()) -> Path:
        path = tmp_path / "query.yaml"
        path.write_text(yaml.safe_dump({"components": components, "connections": list(connections)}), encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="session")
def index(opensearch: Any, indexing: Any) -> str:
    rng = np.random.default_rng(5)
    documents: dict[str, dict[str, Any]] = {}
    for number in range(60):
        name = f"d{number:02}"
        documents[name] = {
            "id": name,
            "content": " ".join(rng.choice(WORDS, size=5).tolist()),
            "embedding": [float(x) for x in rng.normal(size=DIMENSION)],
            "group": f"g{number // 3}",
            "year": 2000 + number,
            "own": f"x{name}",
        }
        if number % 4:
            documents[name]["language"] = ["en", "zh-CN", "ar"][number % 3]
    indexing.create(opensearch, INDEX, documents, indexing.mapping(DIMENSION))
    return INDEX


@pytest.fixture
def seen() -> list[Exchange]:
    return []


@pytest.fixture
def client(opensearch: Any, index: str, seen: list[Exchange]) -> Any:
    assert index == INDEX
    client = ReadOnlyClient(opensearch.url, traffic=Traffic(seen.append), patience=Patience(total=1.0))
    yield client
    client.close()


@pytest.fixture
def nowhere() -> Any:
    """A client of a cluster that does not answer."""
    client = ReadOnlyClient("http://127.0.0.1:9", patience=Patience(total=0.0))
    yield client
    client.close()
