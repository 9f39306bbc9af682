"""Embedding packed texts: what is exchanged in the model meanwhile, and given back."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from sentence_transformers import SentenceTransformer

from haystack_crossalign.models.prompts import Prompts
from haystack_crossalign.training.batches.packing import (
    DOCUMENT,
    QUERY,
    TextTable,
    embed_packed,
    pack,
    transformer_precision,
)


def attention_of(model: SentenceTransformer) -> Any:
    return model[0].auto_model.config._attn_implementation


@pytest.fixture
def packed(tiny_model: SentenceTransformer, make_texts: Any) -> Any:
    table = TextTable(tiny_model, Prompts("", "", "none"))
    return pack(table, [table.add(DOCUMENT, text) for text in make_texts(1, 7)[0]], budget=32)


def test_attention_is_computed_step_by_step_in_bf16_on_a_cpu_and_given_back(tiny_model: SentenceTransformer) -> None:
    assert attention_of(tiny_model) == "sdpa"
    with transformer_precision(tiny_model, "cpu", bf16=True):
        assert attention_of(tiny_model) == "eager"
    assert attention_of(tiny_model) == "sdpa"
    with pytest.raises(KeyboardInterrupt), transformer_precision(tiny_model, "cpu", bf16=True):
        raise KeyboardInterrupt
    assert attention_of(tiny_model) == "sdpa"
    with transformer_precision(tiny_model, "cpu", bf16=False):
        assert attention_of(tiny_model) == "sdpa"


def test_an_attention_that_was_asked_for_is_left(tiny_model: SentenceTransformer) -> None:
    tiny_model[0].auto_model.set_attn_implementation("eager")
    with transformer_precision(tiny_model, "cpu", bf16=True):
        assert attention_of(tiny_model) == "eager"
    assert attention_of(tiny_model) == "eager"


def test_gradients_in_bf16_are_those_in_float32_up_to_its_precision(
    tiny_model: SentenceTransformer, packed: Any
) -> None:
    found = []
    for bf16 in (False, True):
        tiny_model.zero_grad()
        with transformer_precision(tiny_model, "cpu", bf16=bf16):
            vectors = embed_packed(tiny_model, packed)
        assert vectors.dtype == torch.float32
        torch.nn.functional.normalize(vectors, dim=-1)[:, :2].sum().backward()
        found.append(
            torch.cat([weight.grad.flatten() for weight in tiny_model.parameters() if weight.grad is not None])
        )
    plain, rounded = found
    assert plain.abs().max() > 0.01
    assert torch.nn.functional.cosine_similarity(plain, rounded, dim=0) > 0.999
    assert (plain - rounded).norm() < 0.05 * plain.norm()


@pytest.mark.parametrize("max_tokens", [None, 6])
def test_texts_beyond_the_limit_are_counted_once_each_with_their_prompts(
    tiny_model: SentenceTransformer, max_tokens: int | None
) -> None:
    own = tiny_model.max_seq_length
    table = TextTable(tiny_model, Prompts("w1 w2 ", "", "option"), max_tokens=max_tokens)
    limit = own if max_tokens is None else max_tokens
    assert table.limit == limit
    # Two special tokens; the prompt of queries has two more.
    lengths = {QUERY: range(1, limit + 2), DOCUMENT: (1, limit - 3, limit - 2, limit - 1, 3 * limit)}
    for role, counts in lengths.items():
        for count in (*counts, *counts):
            table.add(role, " ".join(["w3"] * count))
    more = {QUERY: 4, DOCUMENT: 2}
    over = {role: sum(count + more[role] > limit for count in counts) for role, counts in lengths.items()}
    assert over[DOCUMENT] == 2
    assert table.cut() == {"queries": over[QUERY], "documents": 2}
    table.add(DOCUMENT, " ".join(["w4"] * (limit + 5)))
    assert table.cut() == {"queries": over[QUERY], "documents": 3}
    assert tiny_model.max_seq_length == own
