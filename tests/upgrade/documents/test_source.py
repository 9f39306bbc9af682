"""Which indices cannot be upgraded, told before anything is done."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from haystack_crossalign.errors import InputError
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.upgrade.documents.source import read_source

STREAM = "source-stream"


@pytest.fixture
def client(opensearch: Any) -> Iterator[ReadOnlyClient]:
    client = ReadOnlyClient(opensearch.url)
    yield client
    client.close()


def test_a_field_of_bits_is_refused(opensearch: Any, client: ReadOnlyClient) -> None:
    bits = {"type": "knn_vector", "dimension": 16, "data_type": "binary"}
    body = {"settings": {"index.knn": False}, "mappings": {"properties": {"bits": bits}}, "aliases": {"bits-live": {}}}
    opensearch.request("PUT", "/source-bits", body)
    with pytest.raises(InputError, match="field 'bits': holds bits, which neither a model nor a map here makes"):
        read_source(client, "bits-live", ["bits"])
    opensearch.request("DELETE", "/source-bits")


def test_a_data_stream_is_no_alias(opensearch: Any, client: ReadOnlyClient) -> None:
    template = {"mappings": {"properties": {"@timestamp": {"type": "date"}}}}
    opensearch.request(
        "PUT", f"/_index_template/{STREAM}", {"index_patterns": [STREAM], "data_stream": {}, "template": template}
    )
    opensearch.request("PUT", f"/_data_stream/{STREAM}")
    with pytest.raises(InputError, match="is an index and no alias"):
        read_source(client, STREAM, ["embedding"])
    opensearch.request("DELETE", f"/_data_stream/{STREAM}")
    opensearch.request("DELETE", f"/_index_template/{STREAM}")
