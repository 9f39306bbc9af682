"""What the definition of a vector field says of the numbers that an index keeps."""

from __future__ import annotations

from typing import Any

import pytest

from haystack_crossalign.opensearch.local.pool import reduced_precision


@pytest.mark.parametrize(
    ("definition", "expected"),
    [
        ({"method": {"engine": "lucene", "name": "hnsw"}}, None),
        ({"method": {"engine": "faiss", "name": "hnsw", "parameters": {"m": 8, "encoder": {"name": "flat"}}}}, None),
        ({"compression_level": "1x"}, None),
        ({"method": {"parameters": {"encoder": {"name": "sq", "parameters": {"type": "fp16"}}}}}, "encoder sq"),
        ({"method": {"engine": "lucene", "parameters": {"encoder": {"name": "sq", "bits": 7}}}}, "encoder sq"),
        ({"mode": "on_disk"}, "mode on_disk"),
        ({"mode": "in_memory", "compression_level": "16x"}, "compression_level 16x"),
    ],
)
def test_fields_of_lower_precision_are_told(definition: dict[str, Any], expected: str | None) -> None:
    assert reduced_precision(definition) == expected
