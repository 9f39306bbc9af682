"""The one reader of YAML: safe values, bounds, and one message for everything else."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from haystack_crossalign.config.plain_yaml import parse_yaml, refuse_remote_code
from haystack_crossalign.config.yaml_file import read_yaml
from haystack_crossalign.errors import InputError
from haystack_crossalign.pipelines.embedder import PipelineEmbedder
from haystack_crossalign.pipelines.retriever import QueryPipeline
from haystack_crossalign.triplets.translation.chat_generator import read_generator

WRONG = [
    "2001-02-30", "!!int ''", "!!float ''", "!!timestamp x", "!!bool x", "!!binary é", "[", "{[]: 1}",
    "!!python/object:x {}", 5000 * "[", "a: 1\na: 2", '"\\UFFFFFFFF"', "a: *nothing", "\x00",
]  # fmt: skip

# Nine levels of nine aliases: 9 ** 9 values in 400 characters.
BOMB = "a0: &a0 x\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10))
UNBOUNDED = {
    "deep": ("a: " + 300 * "[" + 300 * "]", "nested too deeply"),
    "deeper than the stack": ("a: " + 5000 * "[", "nested too deeply"),
    "deep mappings": ("".join(f"{' ' * n}a:\n" for n in range(200)) + " " * 200 + "a: 1", "nested too deeply"),
    "holds itself": ("components: &a\n  b: *a\n", "contains itself"),
    "list that holds itself": ("components: {b: &a [1, *a]}\n", "contains itself"),
    "merges itself": ("components: &a\n  <<: *a\n", "contains itself"),
    "billions by aliases": (BOMB, "too many values"),
    "long": ("a: '" + "x" * 1_000_001 + "'", "too long"),
}


@pytest.mark.parametrize("text", WRONG, ids=range(len(WRONG)))
def test_whatever_is_wrong_is_one_message_that_names_the_source(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_yaml(text, "file.yaml", "recipe")
    assert str(caught.value).startswith("file.yaml")


def test_values_are_those_of_yaml() -> None:
    assert parse_yaml("a: [1, 2.5, true, null, text]", "f", "f") == {"a": [1, 2.5, True, None, "text"]}
    assert parse_yaml("a: &x {b: 1}\nc: {<<: *x, d: 2}", "f", "f")["c"] == {"b": 1, "d": 2}
    assert parse_yaml("", "f", "f") is None


READERS = {
    "recipe": read_yaml,
    "embedder": PipelineEmbedder.from_yaml,
    "pipeline": QueryPipeline.from_yaml,
    "generator": read_generator,
}


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
@pytest.mark.parametrize(("text", "problem"), UNBOUNDED.values(), ids=UNBOUNDED)
def test_every_reader_has_the_same_bounds(reader: Any, text: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(text, encoding="utf-8")
    start = time.monotonic()
    with pytest.raises(InputError, match=problem) as caught:
        reader(path)
    assert str(path) in str(caught.value)
    assert time.monotonic() - start < 60  # it does not hang


@pytest.mark.parametrize(
    "place",
    [
        {"trust_remote_code": True},
        {"components": {"a": {"init_parameters": {"model_kwargs": {"trust_remote_code": "yes"}}}}},
        {"components": {"a": [{"trust_remote_code": 1}]}},
    ],
)
def test_code_of_a_model_is_refused_at_any_depth(place: Any) -> None:
    with pytest.raises(InputError, match="--trust-remote-code"):
        refuse_remote_code(place, "file.yaml")


def test_without_code_nothing_is_refused() -> None:
    refuse_remote_code({"a": {"trust_remote_code": False}, "b": [{"trust_remote_code": None}]}, "file.yaml")


@pytest.mark.parametrize("reader", [READERS[name] for name in ("embedder", "pipeline", "generator")])
def test_a_file_with_remote_code_is_read_only_where_that_is_typed(reader: Any, tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(
        "components:\n  part:\n    type: none.Such\n    init_parameters: {trust_remote_code: true}\nconnections: []\n",
        encoding="utf-8",
    )
    with pytest.raises(InputError, match="would run code"):
        reader(path)
    with pytest.raises(InputError, match="allowlist"):
        reader(path, trust_remote_code=True)
