from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from haystack_crossalign.errors import InputError
from haystack_crossalign.training import CachedCrossAlignLoss, CrossAlignLoss
from haystack_crossalign.training.losses.tokens import Tokens, content_mask, token_alignment_rows

ALONE = {"alignment_weight": 0.0, "nce_weight": 0.0, "token_weight": 1.0}


def by_loops(x: np.ndarray, y: np.ndarray, temperature: float, threshold: float) -> float:
    """The formula of one pair of texts, without a tensor operation."""

    def cosine(a: np.ndarray, b: np.ndarray) -> float:
        dot = lengths_a = lengths_b = 0.0
        for one, other in zip(a, b, strict=True):
            dot, lengths_a, lengths_b = dot + one * other, lengths_a + one * one, lengths_b + other * other
        return float(dot / np.sqrt(lengths_a * lengths_b))

    n, m = len(x), len(y)
    if not n or not m:
        return 0.0
    power = [[np.exp(cosine(x[i], y[j]) / temperature) for j in range(m)] for i in range(n)]
    total = 0.0
    for i in range(n):
        for j in range(m):
            p = power[i][j] / sum(power[i][k] for k in range(m))
            q = power[i][j] / sum(power[k][j] for k in range(n))
            if p > threshold and q > threshold:
                total += p / n + q / m
    return 1 - total / 2


def padded(texts: list[np.ndarray], width: int, fill: float) -> Tokens:
    vectors = torch.full((len(texts), width, 6), fill, dtype=torch.float64)
    used = torch.zeros(len(texts), width, dtype=torch.bool)
    for row, text in enumerate(texts):
        vectors[row, : len(text)] = torch.from_numpy(text)
        used[row, : len(text)] = True
    return Tokens(vectors, used)


@pytest.mark.parametrize(("temperature", "threshold"), [(0.02, 0.1), (0.3, 0.1), (0.1, 0.02), (0.5, 0.4)])
def test_it_is_the_formula_by_loops_and_padding_has_no_part_in_it(temperature: float, threshold: float) -> None:
    draw = np.random.default_rng(0)
    first = [draw.normal(size=(count, 6)) for count in (5, 1, 3, 0, 4)]
    second = [draw.normal(size=(count, 6)) for count in (4, 3, 1, 2, 0)]
    expected = [by_loops(x, y, temperature, threshold) for x, y in zip(first, second, strict=True)]
    assert len({round(value, 6) for value in expected}) >= 3
    for width, fill in ((5, 0.0), (9, 7.0)):
        found = token_alignment_rows(padded(first, width, fill), padded(second, width, fill), temperature, threshold)
        torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=1e-12)


def test_the_gradient_is_that_of_finite_differences_and_leaves_padding_and_alignments_alone() -> None:
    draw = np.random.default_rng(1)
    first = padded([draw.normal(size=(count, 6)) for count in (4, 2)], 5, 0.0)
    second = padded([draw.normal(size=(count, 6)) for count in (3, 0)], 4, 0.0)
    x, y = first.vectors.requires_grad_(), second.vectors.requires_grad_()

    def loss(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return token_alignment_rows(Tokens(x, first.used), Tokens(y, second.used), 0.3, 0.1).sum()

    loss(x, y).backward()
    assert x.grad is not None
    assert y.grad is not None
    assert float(x.grad[0, :4].abs().min()) > 0
    assert not x.grad[~first.used].any()
    assert not x.grad[1].any()  # its translation has no token
    assert not y.grad[~second.used].any()
    step = 1e-6
    for row, token, dim in ((0, 0, 0), (0, 3, 5)):
        shift = torch.zeros_like(x)
        shift[row, token, dim] = step
        with torch.no_grad():
            slope = (loss(x + shift, y) - loss(x - shift, y)) / (2 * step)
        assert float(x.grad[row, token, dim]) == pytest.approx(float(slope), rel=1e-6)


def test_a_translation_with_the_tokens_of_the_passage_in_another_order_costs_nothing() -> None:
    x = torch.eye(6, dtype=torch.float64)[None]
    used = torch.ones(1, 6, dtype=torch.bool)
    order = torch.tensor([3, 1, 5, 0, 4, 2])
    assert float(token_alignment_rows(Tokens(x, used), Tokens(x[:, order], used), 0.02, 0.1)) < 1e-12
    # Tokens that are all equal are aligned with none: the loss cannot be lowered by a collapse.
    equal = torch.ones(1, 12, 6, dtype=torch.float64)
    all_used = torch.ones(1, 12, dtype=torch.bool)
    assert float(token_alignment_rows(Tokens(equal, all_used), Tokens(equal, all_used), 0.02, 0.1)) == 1


def test_content_has_neither_padding_nor_special_tokens_nor_prompt(tiny_model) -> None:
    special = tiny_model.tokenizer.all_special_ids
    features = tiny_model.preprocess(["w1 w2 w3", "w4", "w5 [MASK] w6 w7"], prompt="w9 w8 ")
    content = content_mask(features, special)
    words = [
        tiny_model.tokenizer.convert_ids_to_tokens(ids[used])
        for ids, used in zip(features["input_ids"], content, strict=True)
    ]
    assert words == [["w1", "w2", "w3"], ["w4"], ["w5", "w6", "w7"]]
    tiny_model.tokenizer.padding_side = "left"
    features = tiny_model.preprocess(["w1 w2 w3", "w4"], prompt="w9 w8 ")
    assert int(features["attention_mask"][1, 0]) == 0
    content = content_mask(features, special)
    assert tiny_model.tokenizer.convert_ids_to_tokens(features["input_ids"][1][content[1]]) == ["w4"]


def test_the_term_is_the_formula_on_the_tokens_that_the_model_gives(tiny_model, make_texts) -> None:
    model = tiny_model.double()
    texts = make_texts(4, 5)
    options = {"token_temperature": 0.1, "token_threshold": 0.15, "token_limit": 4}
    loss = CrossAlignLoss(model, pool_weight=0.5, token_weight=3.0, **options)
    terms = loss([model.preprocess(column) for column in texts])
    assert list(terms) == ["jsd", "nce", "pool", "token"]

    def tokens(text: str) -> np.ndarray:
        with torch.no_grad():
            # One text at a time, between [CLS] and [SEP].
            return model(dict(model.preprocess([text])))["token_embeddings"][0, 1:-1][:4].numpy()

    each = [
        by_loops(tokens(passage), tokens(target), 0.1, 0.15)
        for column in texts[2:]
        for passage, target in zip(texts[1], column, strict=True)
    ]
    assert min(each) < max(each) < 1
    assert float(terms["token"].detach()) == pytest.approx(3 * np.mean(each), rel=1e-9)
    without = CrossAlignLoss(model, pool_weight=0.5)([model.preprocess(column) for column in texts])
    for name, value in without.items():
        torch.testing.assert_close(terms[name], value)


def test_texts_without_a_token_are_left_out_of_the_mean(tiny_model, make_texts) -> None:
    model = tiny_model.double()
    texts = make_texts(3, 4)
    plain = CrossAlignLoss(model, **ALONE)
    expected = plain([model.preprocess(column[:3]) for column in texts])["token"]
    for missing in (1, 2):
        shorter = [[*column[:3], "" if number == missing else column[3]] for number, column in enumerate(texts)]
        features = [model.preprocess(column) for column in shorter]
        for loss in (plain, CachedCrossAlignLoss(model, mini_batch_size=2, **ALONE)):
            terms = loss([dict(one) for one in features])
            torch.testing.assert_close(terms["token"], expected)
    nothing = [model.preprocess(["", ""]) for _ in range(3)]
    value = plain(nothing)["token"]
    assert float(value.detach()) == 0
    value.backward()
    assert all(bool(torch.isfinite(one.grad).all()) for one in model.parameters() if one.grad is not None)


def test_a_prompt_that_the_pooling_leaves_out_is_not_taken_off_twice(tiny_model, make_texts) -> None:
    model = tiny_model.double()
    texts = make_texts(3, 4)

    def value(loss: CrossAlignLoss) -> torch.Tensor:
        return loss([model.preprocess(column, prompt="w9 w8 ") for column in texts])["token"].detach()

    expected = value(CrossAlignLoss(model, **ALONE))
    model[1].include_prompt = False
    torch.testing.assert_close(value(CrossAlignLoss(model, **ALONE)), expected)
    torch.testing.assert_close(value(CachedCrossAlignLoss(model, mini_batch_size=3, **ALONE)), expected)


def test_nothing_is_left_on_the_model(tiny_model, make_texts) -> None:
    CrossAlignLoss(tiny_model, **ALONE)([tiny_model.preprocess(column) for column in make_texts(3, 4)])
    assert not tiny_model._forward_hooks
    assert not tiny_model._forward_pre_hooks
    assert tiny_model.encode(["w1"]).shape == (1, 16)


def test_a_model_without_tokens_and_embeddings_without_them_are_refused(tiny_model_folder: Path, make_texts) -> None:
    model = SentenceTransformer(str(tiny_model_folder), device="cpu")
    loss = CrossAlignLoss(model, **ALONE)
    with pytest.raises(InputError, match=r"'token_weight': needs the tokens of the passages"):
        loss.compute_loss_from_embeddings([torch.ones(2, 4)] * 3)
    features = [model.preprocess(column) for column in make_texts(3, 4)]
    model[1].register_forward_hook(lambda _module, _args, output: output.pop("token_embeddings") is None)
    model[1].register_forward_hook(lambda _module, args, _output: args[0])
    with pytest.raises(InputError, match=r"'token_weight': the model gives no embeddings of padded tokens"):
        loss(features)
    with pytest.raises(InputError, match="all weights are 0"):
        CrossAlignLoss(model, alignment_weight=0, nce_weight=0)
    compiled = torch.compile(SentenceTransformer(str(tiny_model_folder), device="cpu"))
    with pytest.raises(InputError, match="compiled model"):
        CrossAlignLoss(compiled, **ALONE)(features)
