"""The text of a search is that of the body with its placeholders filled, whatever the values are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from production_requests import KINDS, queries

from haystack_crossalign.opensearch.requests.body_text import BodyText
from haystack_crossalign.opensearch.requests.file import read_request
from haystack_crossalign.opensearch.requests.placeholders import Template

BODIES: list[dict[str, Any]] = [
    {"query": {"match": {"title": "{{query}}"}}},
    {"query": {"match": {"title_{{language}}": "{{query}} {{query}}"}}, "size": 3},
    {"query": {"match": {"title": 'a "{{query}}" {{language}}'}}, "tail": ["{{language}}", {"{{language}}": None}]},
    {"query": {"knn": {"embedding": {"vector": "{{vector}}", "k": 5}}}, "rescore": [{"v": "{{vector}}"}, "{{query}}"]},
    {"query": {"match_all": {}}},
]
TEXTS = [
    "",
    "river",
    'a "b" \\ }} {{language}} {{vector}}\n\u2028',
    '","size":0,"x":"',
    "\\",
    "%s %.9g %%",
    "\u4e2d\u6587 \U0001f600 \ud800",
]


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("text", TEXTS)
def test_the_text_holds_what_the_filled_body_holds(body: dict[str, Any], text: str) -> None:
    template = Template(body)
    vector = np.array([0.1, -1.0, 3e-42, 16777216.0, 3.4028235e38], dtype=np.float32)
    values = {"query": text, "language": 'zh"', "vector": vector.astype(np.float64).tolist()}
    written = json.loads(BodyText(template.fill).write(text, 'zh"', vector))

    def same(one: Any, other: Any) -> bool:
        if isinstance(other, dict):
            return one.keys() == other.keys() and all(same(one[key], other[key]) for key in other)
        if isinstance(other, list):
            return len(one) == len(other) and all(map(same, one, other))
        # Nine digits are not those of the double, and yet the same float32.
        return bool(np.float32(one) == np.float32(other)) if isinstance(other, float) else bool(one == other)

    assert same(written, template.fill(values))


def test_every_float32_survives() -> None:
    bits = np.random.default_rng(3).integers(0, 2**32, size=20_000, dtype=np.uint64).astype(np.uint32)
    vector = bits.view(np.float32)
    vector = vector[np.isfinite(vector)]
    written = json.loads(BodyText(lambda values: {"v": values["vector"]}).write("", "", vector))
    assert np.array(written["v"]).astype(np.float32).tobytes() == vector.tobytes()


def test_production_bodies_are_written_as_a_program_would(tmp_path: Path) -> None:
    query = queries(tmp_path / "queries.jsonl")[4]
    vector = np.array(query["embedding"], dtype=np.float32)
    exact = {**query, "embedding": [float(f"{component:.9g}") for component in vector.tolist()]}
    for name, kind in KINDS.items():
        if name in ("template", "sparse"):
            continue
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(kind.file), encoding="utf-8")
        request = read_request(path)
        text = BodyText(lambda values, request=request: request.body.fill({**values, "size": 10}))
        assert json.loads(text.write(query["text"], query["language"], vector)) == kind.body(exact), name
