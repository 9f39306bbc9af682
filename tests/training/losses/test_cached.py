from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from transformers import AutoTokenizer

from haystack_crossalign.errors import InputError
from haystack_crossalign.training import CachedCrossAlignLoss, CrossAlignLoss

OPTIONS = [
    {},
    {"alignment_weight": 0.0},
    {"nce_weight": 0.0},
    {"alignment": "passage_nce", "direction": "symmetric"},
    {"direction": "query_to_passage", "z_from": "after_normalization", "softmax_temperature": 0.5},
    {"nce_pairs": ("passage:query", "target:query"), "alignment_weight": 2.0},
    {"pool_weight": 1.5},
    {"pool_weight": 1.0, "nce_weight": 0.0, "alignment_weight": 0.0},
    {"token_weight": 2.0, "token_temperature": 0.1, "token_limit": 5},
    {"token_weight": 1.0, "nce_weight": 0.0, "alignment_weight": 0.0, "token_temperature": 0.2},
]


def gradients(model: SentenceTransformer, terms: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    model.zero_grad()
    sum(terms.values()).backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def features(model: SentenceTransformer, texts: list[list[str]]) -> list[dict[str, torch.Tensor]]:
    return [model.preprocess(column) for column in texts]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("size", [1, 3, 4, 7, 50])
def test_values_and_gradients_are_those_of_the_plain_loss(tiny_model, make_texts, options, size: int) -> None:
    model = tiny_model.double()
    texts = make_texts(3, 7)
    plain = CrossAlignLoss(model, temperature=0.1, **options)(features(model, texts))
    expected = gradients(model, plain)
    cached = CachedCrossAlignLoss(model, mini_batch_size=size, temperature=0.1, **options)(features(model, texts))
    actual = gradients(model, cached)
    assert list(cached) == list(plain)
    for name in plain:
        torch.testing.assert_close(cached[name], plain[name], rtol=1e-10, atol=1e-12)
    assert actual.keys() == expected.keys()
    for name in expected:
        torch.testing.assert_close(actual[name], expected[name], rtol=1e-8, atol=1e-10, msg=name)


@pytest.mark.parametrize("options", OPTIONS)
def test_under_autocast_it_is_as_close_to_single_precision_as_the_plain_loss(tiny_model, make_texts, options) -> None:
    texts = make_texts(3, 7)

    def found(loss: CrossAlignLoss, *, half: bool) -> torch.Tensor:
        columns = features(tiny_model, texts)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            terms = loss(columns)
        return torch.cat([one.flatten() for _, one in sorted(gradients(tiny_model, terms).items())])

    plain = CrossAlignLoss(tiny_model, temperature=0.1, **options)
    cached = CachedCrossAlignLoss(tiny_model, temperature=0.1, mini_batch_size=2, **options)
    exact = found(plain, half=False)
    errors = [float((found(loss, half=True) - exact).norm() / exact.norm()) for loss in (plain, cached)]
    assert errors[0] > 0  # the embeddings themselves are of half precision
    assert errors[1] < 2 * errors[0]


def test_the_second_pass_repeats_the_precision_of_the_first(tiny_model, make_texts) -> None:
    seen: list[torch.Tensor] = []
    tiny_model[1].register_forward_hook(lambda _module, _args, output: seen.append(output["token_embeddings"].detach()))
    loss = CachedCrossAlignLoss(tiny_model, mini_batch_size=5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        terms = loss(features(tiny_model, make_texts(3, 5)))
    sum(terms.values()).backward()
    assert len(seen) == 6
    for first, second in zip(seen[:3], seen[3:], strict=True):
        assert torch.equal(first, second)


def test_mini_batches_by_tokens_change_nothing_either(tiny_model, make_texts) -> None:
    model = tiny_model.double()
    texts = make_texts(4, 6)
    expected = gradients(model, CrossAlignLoss(model, target_queries=True)(features(model, texts)))
    cached = CachedCrossAlignLoss(model, target_queries=True, mini_batch_size=2, mini_batch_num_tokens=20)
    actual = gradients(model, cached(features(model, texts)))
    for name in expected:
        torch.testing.assert_close(actual[name], expected[name], rtol=1e-8, atol=1e-10, msg=name)


def test_dropout_of_the_first_pass_is_replayed(tiny_model, make_texts) -> None:
    """One mini-batch per column draws the random numbers that the plain loss draws, so that all must agree."""
    model = tiny_model.double().train()
    texts = make_texts(3, 5)
    torch.manual_seed(7)
    plain = CrossAlignLoss(model)(features(model, texts))
    expected = gradients(model, plain)
    torch.manual_seed(7)
    cached = CachedCrossAlignLoss(model, mini_batch_size=5)(features(model, texts))
    torch.manual_seed(99)
    actual = gradients(model, cached)
    torch.testing.assert_close(sum(cached.values()), sum(plain.values()))
    for name in expected:
        torch.testing.assert_close(actual[name], expected[name], rtol=1e-8, atol=1e-10, msg=name)


def test_dropout_is_replayed_in_every_one_of_several_mini_batches(tiny_model, make_texts) -> None:
    model = tiny_model.double().train()
    seen: list[torch.Tensor] = []
    model[1].register_forward_hook(lambda _module, _args, output: seen.append(output["sentence_embedding"].detach()))
    cached = CachedCrossAlignLoss(model, mini_batch_size=2)(features(model, make_texts(3, 5)))
    sum(cached.values()).backward()
    assert len(seen) == 18
    for first, second in zip(seen[:9], seen[9:], strict=True):
        assert torch.equal(first, second)


def test_two_forward_passes_before_their_backward_passes_do_not_mix(tiny_model, make_texts) -> None:
    model = tiny_model.double()
    first, second = make_texts(3, 5), make_texts(3, 4)
    plain, cached = CrossAlignLoss(model), CachedCrossAlignLoss(model, mini_batch_size=2)
    expected = gradients(model, {"a": sum(plain(features(model, first)).values())})
    one, _ = cached(features(model, first)), cached(features(model, second))
    actual = gradients(model, one)
    for name in expected:
        torch.testing.assert_close(actual[name], expected[name], rtol=1e-8, atol=1e-10, msg=name)


def test_a_factor_on_the_loss_reaches_every_mini_batch(tiny_model, make_texts) -> None:
    model = tiny_model.double()
    texts = make_texts(3, 5)
    loss = CachedCrossAlignLoss(model, mini_batch_size=2)
    expected = gradients(model, loss(features(model, texts)))
    actual = gradients(model, {"scaled": 8 * sum(loss(features(model, texts)).values())})
    for name in expected:
        torch.testing.assert_close(actual[name], 8 * expected[name])


def test_without_gradients_only_the_value_is_computed(tiny_model, make_texts) -> None:
    texts = make_texts(3, 5)
    with torch.no_grad():
        terms = CachedCrossAlignLoss(tiny_model, mini_batch_size=2)(features(tiny_model, texts))
    plain = CrossAlignLoss(tiny_model)(features(tiny_model, texts))
    assert not any(term.requires_grad for term in terms.values())
    torch.testing.assert_close(sum(terms.values()), sum(plain.values()).detach())


class Tape:
    """Counts the elements of the encoder's activations that autograd holds at the same time."""

    def __init__(self, model: SentenceTransformer) -> None:
        self.inside = False
        self.alive = self.peak = 0
        self.weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
        model[0].register_forward_pre_hook(lambda *_: setattr(self, "inside", True))
        model[0].register_forward_hook(lambda *_: setattr(self, "inside", False))

    def pack(self, tensor: torch.Tensor) -> Saved:
        counted = self.inside and tensor.untyped_storage().data_ptr() not in self.weights
        return Saved(self, tensor, tensor.numel() if counted else 0)


class Saved:
    def __init__(self, tape: Tape, tensor: torch.Tensor, size: int) -> None:
        # Detached: an output that an operation saves of itself would otherwise keep its own graph alive.
        self.tape, self.tensor, self.size = tape, tensor.detach(), size
        tape.alive += size
        tape.peak = max(tape.peak, tape.alive)

    def __del__(self) -> None:
        self.tape.alive -= self.size


def peak_of_activations(folder: Path, make_loss: Callable[[SentenceTransformer], CrossAlignLoss], rows: int) -> int:
    model = SentenceTransformer(str(folder), device="cpu").eval()
    tape = Tape(model)
    # One length for all texts: mini-batches are then equal but for their number.
    texts = [[f"w{row % 10} w{column} w{row % 7} w5" for row in range(rows)] for column in range(3)]
    with torch.autograd.graph.saved_tensors_hooks(tape.pack, lambda saved: saved.tensor):
        sum(make_loss(model)(features(model, texts)).values()).backward()
    assert tape.alive == 0
    return tape.peak


def test_activations_take_the_memory_of_one_mini_batch_whatever_the_batch_size(tiny_model_folder: Path) -> None:
    def cached(model: SentenceTransformer) -> CrossAlignLoss:
        return CachedCrossAlignLoss(model, mini_batch_size=4)

    small = peak_of_activations(tiny_model_folder, cached, 4)
    assert small > 0
    assert peak_of_activations(tiny_model_folder, cached, 32) == small
    assert peak_of_activations(tiny_model_folder, cached, 64) == small
    # The plain loss holds all rows of all three columns.
    assert peak_of_activations(tiny_model_folder, CrossAlignLoss, 4) >= 2.9 * small
    assert peak_of_activations(tiny_model_folder, CrossAlignLoss, 32) >= 7.9 * 2.9 * small


def test_mini_batches_must_hold_something(tiny_model) -> None:
    with pytest.raises(InputError, match="mini_batch_size"):
        CachedCrossAlignLoss(tiny_model, mini_batch_size=0)
    with pytest.raises(InputError, match="mini_batch_num_tokens"):
        CachedCrossAlignLoss(tiny_model, mini_batch_num_tokens=0)


def test_static_embeddings_are_refused(tiny_model_folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(str(tiny_model_folder))
    static = SentenceTransformer(modules=[StaticEmbedding(tokenizer.backend_tokenizer, embedding_dim=8)], device="cpu")
    with pytest.raises(InputError, match="CrossAlignLoss"):
        CachedCrossAlignLoss(static)
