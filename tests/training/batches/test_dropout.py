"""Dropout by shared random bits, against its definition and torch's own."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from haystack_crossalign.training.batches.dropout import CheapDropout, dropout

COUNT = 400_000


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_the_share_of_zeros_and_the_mean_are_those_of_the_definition(rate: float, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    made = dropout(torch.ones(COUNT, dtype=dtype), rate)
    exact = round(rate * 65536) / 65536
    # Five standard deviations of a binomial share.
    assert abs(float((made == 0).double().mean()) - exact) < 5 * (rate * (1 - rate) / COUNT) ** 0.5
    assert set(made.unique().tolist()) == {0.0, float(torch.tensor(1 / (1 - exact), dtype=dtype))}


def test_the_bits_of_four_neighbors_are_independent() -> None:
    torch.manual_seed(1)
    zero = (dropout(torch.ones(COUNT), 0.3) == 0).double().view(-1, 4)
    shares = zero.mean(0)
    assert float((shares - 0.3).abs().max()) < 5 * (0.3 * 0.7 / (COUNT / 4)) ** 0.5
    correlation = torch.corrcoef(zero.T)
    assert float((correlation - torch.eye(4)).abs().max()) < 5 / (COUNT / 4) ** 0.5


def test_the_gradient_passes_where_values_do_and_a_seed_repeats_it() -> None:
    values = torch.randn(7, 33, requires_grad=True)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    made = dropout(values, 0.4)
    made.sum().backward()
    assert values.grad is not None
    assert torch.equal(made, values.detach() * values.grad)
    torch.set_rng_state(state)
    assert torch.equal(dropout(values, 0.4), made)


def test_rates_at_the_ends() -> None:
    values = torch.randn(5)
    assert dropout(values, 0.0) is values
    assert torch.equal(dropout(values, 1.0), torch.zeros(5))
    assert dropout(torch.empty(0, 3), 0.1).shape == (0, 3)


def test_only_training_is_changed_and_only_within_the_block() -> None:
    module, values = nn.Dropout(0.5), torch.ones(1000)
    torch.manual_seed(3)
    expected = dropout(values, 0.5)
    with CheapDropout():
        torch.manual_seed(3)
        assert torch.equal(module(values), expected)
        torch.manual_seed(3)
        assert torch.equal(functional.dropout(values, p=0.5, training=True), expected)
        assert torch.equal(module.eval()(values), values)
        with pytest.raises(ValueError, match="between 0 and 1"):
            functional.dropout(values, 2.0)
    torch.manual_seed(3)
    assert not torch.equal(module.train()(values), expected)
