from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from haystack_crossalign.errors import InputError
from haystack_crossalign.training.losses.functional import (
    info_nce,
    info_nce_rows,
    jensen_shannon_divergence,
    jsd_distance,
    mixed_pool_nce_rows,
)


def slow_divergence(z1: NDArray[np.float64], z2: NDArray[np.float64]) -> float:
    """From the formula, one number at a time, with exact summation."""

    def softmax(z: NDArray[np.float64]) -> list[float]:
        powers = [math.exp(value - max(z)) for value in z]
        return [power / math.fsum(powers) for power in powers]

    p, q = softmax(z1), softmax(z2)
    m = [(a + b) / 2 for a, b in zip(p, q, strict=True)]

    def kl(a: list[float], b: list[float]) -> float:
        return math.fsum(x * math.log(x / y) for x, y in zip(a, b, strict=True) if x > 0)

    return kl(p, m) / 2 + kl(q, m) / 2


def slow_info_nce(anchor: NDArray[np.float64], positive: NDArray[np.float64], temperature: float) -> float:
    def cosine(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
        return math.fsum(a * b) / math.sqrt(math.fsum(a * a)) / math.sqrt(math.fsum(b * b))

    losses = []
    for i, a in enumerate(anchor):
        scores = [math.exp(cosine(a, b) / temperature) for b in positive]
        losses.append(-math.log(scores[i] / math.fsum(scores)))
    return math.fsum(losses) / len(losses)


def random(*shape: int, seed: int = 0, scale: float = 1.0) -> torch.Tensor:
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("scale", [0.05, 1.0, 5.0, 40.0])
def test_divergence_equals_a_slow_reference_written_from_the_formula(scale: float) -> None:
    z1, z2 = random(7, 384, scale=scale), random(7, 384, seed=1, scale=scale)
    expected = [slow_divergence(a, b) for a, b in zip(z1.numpy(), z2.numpy(), strict=True)]
    np.testing.assert_allclose(jensen_shannon_divergence(z1, z2).numpy(), expected, rtol=1e-9)
    # Single precision keeps its digits even where the divergence is tiny.
    np.testing.assert_allclose(jensen_shannon_divergence(z1.float(), z2.float()).numpy(), expected, rtol=1e-4)


def test_divergence_of_two_dimensions_by_hand() -> None:
    # P = (1/2, 1/2), Q = (3/4, 1/4), M = (5/8, 3/8).
    z1, z2 = torch.zeros(1, 2, dtype=torch.float64), torch.tensor([[math.log(3), 0.0]], dtype=torch.float64)
    expected = (0.5 * math.log(4 / 5) + 0.5 * math.log(4 / 3)) / 2 + (
        0.75 * math.log(6 / 5) + 0.25 * math.log(2 / 3)
    ) / 2
    assert jensen_shannon_divergence(z1, z2).item() == pytest.approx(expected, rel=1e-12)
    assert jsd_distance(z1, z2).item() == pytest.approx(math.sqrt(expected), rel=1e-12)


def test_gradients_match_finite_differences_in_double_precision() -> None:
    z1, z2 = random(3, 6).requires_grad_(), random(3, 6, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(jensen_shannon_divergence, (z1, z2))
    assert torch.autograd.gradcheck(jsd_distance, (z1, z2))
    assert torch.autograd.gradcheck(lambda a, b: info_nce(a, b, 0.3), (z1, z2))
    far = (random(3, 6, scale=20.0).requires_grad_(), random(3, 6, seed=1, scale=20.0).requires_grad_())
    assert torch.autograd.gradcheck(jensen_shannon_divergence, far)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("function", [jensen_shannon_divergence, jsd_distance])
def test_equal_inputs_give_zero_and_a_finite_gradient(function, dtype: torch.dtype) -> None:
    z1 = random(4, 384, scale=0.2).to(dtype).requires_grad_()
    z2 = z1.detach().clone().requires_grad_()
    value = function(z1, z2)
    value.sum().backward()
    assert torch.equal(value, torch.zeros_like(value))
    for z in (z1, z2):
        assert torch.equal(z.grad, torch.zeros_like(z))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("difference", [1e-8, 1e-5, 1e-2, 1.0, 1e3])
def test_gradient_of_the_distance_stays_finite_and_bounded_near_equal_inputs(
    dtype: torch.dtype, difference: float
) -> None:
    z1 = random(4, 384, scale=0.2).to(dtype).requires_grad_()
    z2 = (z1.detach().double() + random(4, 384, seed=1, scale=difference)).to(dtype).requires_grad_()
    jsd_distance(z1, z2).sum().backward()
    for z in (z1, z2):
        assert torch.isfinite(z.grad).all()
        # sqrt(JSD) grows by at most |dz| / sqrt(8) near equality: JSD is about sum m u^2 / 2 with u = dz / 2 and m <=
        # 1.
        assert z.grad.float().norm(dim=-1).max() <= 1 / math.sqrt(8) + 1e-2


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_divergence_is_bounded_by_ln_2_and_symmetric(dtype: torch.dtype) -> None:
    for scale in (0.01, 1.0, 100.0, 1e4):
        z1, z2 = random(50, 64, scale=scale).to(dtype), random(50, 64, seed=1, scale=scale).to(dtype)
        value = jensen_shannon_divergence(z1, z2)
        assert (value >= 0).all()
        assert (value <= math.log(2)).all()
        torch.testing.assert_close(value, jensen_shannon_divergence(z2, z1), rtol=1e-6, atol=0)
    apart = jensen_shannon_divergence(torch.tensor([[1e4, 0.0]]), torch.tensor([[0.0, 1e4]]))
    assert apart.item() == pytest.approx(math.log(2), rel=1e-6)


def test_distance_obeys_the_triangle_inequality() -> None:
    a, b, c = (random(500, 8, seed=seed) for seed in range(3))
    assert (jsd_distance(a, c) <= jsd_distance(a, b) + jsd_distance(b, c) + 1e-12).all()


def test_half_precision_is_computed_in_single_precision_also_under_autocast() -> None:
    z1, z2 = random(4, 384, scale=0.05).bfloat16(), random(4, 384, seed=1, scale=0.05).bfloat16()
    expected = jensen_shannon_divergence(z1.double(), z2.double()).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = jensen_shannon_divergence(z1, z2)
        contrast = info_nce(z1, z2, 0.02)
    assert value.dtype == contrast.dtype == torch.float32
    torch.testing.assert_close(value, expected, rtol=1e-4, atol=0)
    torch.testing.assert_close(contrast, info_nce(z1.double(), z2.double(), 0.02).float(), rtol=1e-4, atol=1e-5)


def test_info_nce_equals_a_slow_reference_written_from_the_formula() -> None:
    anchor, positive = random(9, 5), random(9, 5, seed=1)
    assert info_nce(anchor, positive, 0.1).item() == pytest.approx(
        slow_info_nce(anchor.numpy(), positive.numpy(), 0.1), rel=1e-10
    )


def test_info_nce_with_equal_candidates_is_the_logarithm_of_their_number() -> None:
    anchor = random(4, 5)
    assert info_nce(anchor, torch.ones(4, 5, dtype=torch.float64), 0.05).item() == pytest.approx(math.log(4), rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_info_nce_is_finite_at_equal_inputs(dtype: torch.dtype) -> None:
    anchor = random(4, 384).to(dtype).requires_grad_()
    positive = anchor.detach().clone().requires_grad_()
    value = info_nce(anchor, positive, 0.02)
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(anchor.grad).all()
    assert torch.isfinite(positive.grad).all()


def test_rows_of_a_part_of_the_batch_are_those_of_the_whole() -> None:
    anchor, candidates = random(6, 5), random(6, 5, seed=1)
    whole = info_nce_rows(anchor, candidates, 0.1)
    torch.testing.assert_close(info_nce_rows(anchor[2:5], candidates, 0.1, first_positive=2), whole[2:5])


def test_mixed_pool_contrast_equals_a_slow_reference_written_from_the_formula() -> None:
    query, versions = random(4, 5), [random(6, 5, seed=1), random(6, 5, seed=2), random(6, 5, seed=3)]
    temperature, first = 0.1, 2
    expected = []
    for row in range(len(query)):
        scores = [
            [float(torch.cosine_similarity(query[row], passage, dim=0)) / temperature for passage in version]
            for version in versions
        ]
        total = math.log(math.fsum(math.exp(score) for version in scores for score in version))
        expected.append(total - math.fsum(version[first + row] for version in scores) / len(versions))
    actual = mixed_pool_nce_rows(query, versions, temperature, first_positive=first)
    assert actual.tolist() == pytest.approx(expected, rel=1e-10)


def test_mixed_pool_contrast_of_one_language_is_info_nce() -> None:
    query, passages = random(5, 4), random(5, 4, seed=1)
    torch.testing.assert_close(mixed_pool_nce_rows(query, [passages], 0.2), info_nce_rows(query, passages, 0.2))


def test_mixed_pool_contrast_is_the_logarithm_of_the_pool_where_all_passages_are_equal() -> None:
    same = torch.ones(3, 5, dtype=torch.float64)
    assert mixed_pool_nce_rows(random(3, 5), [same, same], 0.05).tolist() == pytest.approx([math.log(6)] * 3)


def test_wrong_shapes_and_temperatures_are_named() -> None:
    with pytest.raises(InputError, match="passages"):
        mixed_pool_nce_rows(random(2, 3), [random(2, 3), random(3, 3)], 0.1)
    with pytest.raises(InputError, match="temperature"):
        mixed_pool_nce_rows(random(2, 3), [random(2, 3)], 0.0)
    with pytest.raises(InputError, match="z2"):
        jensen_shannon_divergence(random(2, 3), random(2, 4))
    with pytest.raises(InputError, match="positive"):
        info_nce(random(2, 3), random(3, 3), 0.1)
    with pytest.raises(InputError, match="temperature"):
        info_nce(random(2, 3), random(2, 3), 0.0)
    with pytest.raises(InputError, match="at least 4 rows"):
        info_nce_rows(random(2, 3), random(3, 3), 0.1, first_positive=2)
