from __future__ import annotations

import pytest

from haystack_crossalign.models.prompts import Prompts, resolve_prompts

OTHER = ("sentence-transformers/all-MiniLM-L6-v2",)


def test_the_prompts_of_the_model_are_used() -> None:
    own = {"query": "q: ", "document": "d: ", "passage": "p: "}
    assert resolve_prompts(own, ("intfloat/multilingual-e5-small",)) == Prompts("q: ", "d: ", "model")


def test_a_passage_prompt_counts_where_the_document_prompt_is_empty() -> None:
    # sentence-transformers fills in an empty "document", and its encode_document would then use no prompt at all.
    own = {"query": "query: ", "document": "", "passage": "passage: "}
    assert resolve_prompts(own, OTHER) == Prompts("query: ", "passage: ", "model")


@pytest.mark.parametrize(
    "name",
    [
        "intfloat/multilingual-e5-small",
        "intfloat/e5-large-v2",
        "intfloat/e5-base-unsupervised",
        "models/multilingual-e5-base/",
        "multilingual-e5-large",
    ],
)
def test_an_e5_model_without_prompts_gets_those_of_its_family(name: str) -> None:
    assert resolve_prompts({"query": "", "document": ""}, (name,)) == Prompts("query: ", "passage: ", "family:e5")


@pytest.mark.parametrize(
    "name", ["intfloat/multilingual-e5-large-instruct", "intfloat/e5-mistral-7b-instruct", "BAAI/bge-m3", "the5-small"]
)
def test_other_models_without_prompts_get_none(name: str) -> None:
    assert resolve_prompts({}, (name,)) == Prompts("", "", "none")


def test_an_explicit_prefix_wins_also_an_empty_one() -> None:
    own = {"query": "q: ", "document": "d: "}
    assert resolve_prompts(own, OTHER, query_prefix="") == Prompts("", "d: ", "option")
    assert resolve_prompts(own, OTHER, document_prefix="x: ") == Prompts("q: ", "x: ", "option")
