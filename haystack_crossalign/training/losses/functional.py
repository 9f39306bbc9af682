"""The terms of the joint loss as functions of embeddings.

Source: "Improving Semantic Proximity in Information Retrieval through Cross-Lingual Alignment" (arXiv 2604.05684). Its
code was not released; the formulas are implemented here independently.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - the name that PyTorch code uses
from torch import Tensor

from haystack_crossalign.errors import InputError


def jensen_shannon_divergence(z1: Tensor, z2: Tensor) -> Tensor:
    """Jensen-Shannon divergence of the softmax distributions of two batches of embeddings, row by row.

    ``P = softmax(z1)``, ``Q = softmax(z2)`` over the dimensions, ``M = (P + Q) / 2``,
    ``JSD = KL(P || M) / 2 + KL(Q || M) / 2`` with the natural logarithm.

    It is computed as ``sum_i M_i f(u_i)`` with ``u = (log P - log Q) / 2`` and ``f(u) = u tanh(u) - log cosh(u)``,
    which is equal. No summand is negative or a difference of nearly equal numbers, so that the tiny divergences of
    unit-length embeddings (about 1e-4) stay precise in single precision.

    :param z1: embeddings, ``[rows, dim]`` (or any leading shape). bf16 and fp16 are computed in fp32.
    :param z2: embeddings of the same shape.
    :returns: ``[rows]``, 0 to ln 2; fp32 for half-precision input, otherwise the dtype of the input. Symmetric in its
        arguments; value and gradient are exactly 0 if both are equal.
    :raises InputError: if the shapes differ.
    """
    if z1.shape != z2.shape:
        raise InputError(
            "both embeddings must have one shape", field="z2", seen=tuple(z2.shape), allowed=str(tuple(z1.shape))
        )
    with torch.autocast(z1.device.type, enabled=False):
        z1, z2 = widen(z1), widen(z2)
        # Subtract before normalizing: log P and log Q have a magnitude of log(dim), but their difference does not.
        u = ((z1 - z2) - (torch.logsumexp(z1, -1, keepdim=True) - torch.logsumexp(z2, -1, keepdim=True))) / 2
        m = (torch.softmax(z1, -1) + torch.softmax(z2, -1)) / 2
        return (m * (u * torch.tanh(u) - _log_cosh(u))).sum(-1).clamp(max=math.log(2))


def jsd_distance(z1: Tensor, z2: Tensor, *, epsilon: float = 1e-12) -> Tensor:
    """Square root of :func:`jensen_shannon_divergence`, a metric between distributions.

    The root has an infinite slope at 0. Below ``epsilon`` it is therefore replaced by the chord ``JSD /
    sqrt(epsilon)``: exact above, 0 at equal inputs, and with a finite gradient everywhere (0 at equal inputs).

    :param z1: embeddings, ``[rows, dim]``.
    :param z2: embeddings of the same shape.
    :param epsilon: divergence below which the chord is used.
    :returns: ``[rows]``, 0 to sqrt(ln 2).
    :raises InputError: if the shapes differ.
    """
    divergence = jensen_shannon_divergence(z1, z2)
    above = divergence > epsilon
    # For rows that use the chord, the root is not evaluated at 0: its infinite slope times 0 would be NaN.
    root = torch.sqrt(torch.where(above, divergence, torch.ones_like(divergence)))
    return torch.where(above, root, divergence / math.sqrt(epsilon))


def info_nce_rows(anchor: Tensor, candidates: Tensor, temperature: float, *, first_positive: int = 0) -> Tensor:
    """InfoNCE of each anchor against all candidates: ``-log(exp(s_ii / t) / sum_j exp(s_ij / t))`` with ``s`` the
    cosine.

    :param anchor: ``[rows, dim]``.
    :param candidates: ``[n, dim]``, at least as many as anchors.
    :param temperature: ``t``, above 0.
    :param first_positive: row of ``candidates`` that is the positive of the first anchor; the others follow it.
    :returns: ``[rows]``; fp32 for half precisions, otherwise the dtype of the input.
    :raises InputError: if the temperature is not above 0 or the shapes do not fit.
    """
    if not temperature > 0:
        raise InputError("the temperature must be positive", field="temperature", seen=temperature)
    if anchor.shape[-1] != candidates.shape[-1] or first_positive + len(anchor) > len(candidates):
        raise InputError(
            "every anchor needs its positive among the candidates, and one dimension is needed",
            field="candidates",
            seen=tuple(candidates.shape),
            allowed=f"at least {first_positive + len(anchor)} rows of {anchor.shape[-1]} dimensions",
        )
    with torch.autocast(anchor.device.type, enabled=False):
        scores = F.normalize(widen(anchor), dim=-1) @ F.normalize(widen(candidates), dim=-1).T
        labels = torch.arange(first_positive, first_positive + len(anchor), device=scores.device)
        return F.cross_entropy(scores / temperature, labels, reduction="none")


def info_nce(anchor: Tensor, positive: Tensor, temperature: float) -> Tensor:
    """Mean of :func:`info_nce_rows` over the batch: the positives of the other rows are a row's negatives.

    :param anchor: ``[rows, dim]``; in the paper the target-language passages.
    :param positive: ``[rows, dim]``; in the paper the English queries, row by row.
    :param temperature: above 0.
    :returns: a scalar.
    :raises InputError: if the temperature is not above 0 or the shapes differ.
    """
    if anchor.shape != positive.shape:
        raise InputError(
            "anchors and positives must have one shape",
            field="positive",
            seen=tuple(positive.shape),
            allowed=str(tuple(anchor.shape)),
        )
    return info_nce_rows(anchor, positive, temperature).mean()


def mixed_pool_nce_rows(
    query: Tensor, passages: Sequence[Tensor], temperature: float, *, first_positive: int = 0
) -> Tensor:
    """Contrast each query with one pool of all passages in all languages; all versions of its own passage are
    positives: ``-mean_l log(exp(s_il / t) / sum_l' sum_j exp(s_jl' / t))`` with ``s_jl`` the cosine of the query and
    version ``l`` of passage ``j``.

    This corresponds to search in a mixed index; it is minimal if all versions of the query's passage rank above all
    others. The mean over the positives is that of supervised contrastive learning (Khosla et al. 2020, ``L_out``).

    :param query: ``[rows, dim]``.
    :param passages: ``[n, dim]`` per language, with versions of a passage in the same row.
    :param temperature: ``t``, above 0.
    :param first_positive: row of the passages that is the positive of the first query; the others follow it.
    :returns: ``[rows]``; fp32 for half precisions, otherwise the dtype of the input.
    :raises InputError: if the temperature is not above 0 or the shapes do not fit.
    """
    last = first_positive + len(query)
    if not passages or any(version.shape != passages[0].shape for version in passages) or last > len(passages[0]):
        raise InputError(
            "every query needs its passage in each language, in passages of one shape",
            field="passages",
            seen=[tuple(version.shape) for version in passages],
            allowed=f"at least {last} rows in each language",
        )
    if not temperature > 0:
        raise InputError("the temperature must be positive", field="temperature", seen=temperature)
    with torch.autocast(query.device.type, enabled=False):
        pool = torch.cat([F.normalize(widen(version), dim=-1) for version in passages])
        scores = F.normalize(widen(query), dim=-1) @ pool.T / temperature
        own = torch.arange(first_positive, last, device=scores.device)
        starts = torch.arange(0, len(pool), len(passages[0]), device=scores.device)
        positives = scores.gather(1, own[:, None] + starts)
        return scores.logsumexp(dim=1) - positives.mean(dim=1)


def widen(z: Tensor) -> Tensor:
    """Convert half precision to fp32: it has too few digits for a softmax over hundreds of dimensions."""
    return z.float() if z.dtype in (torch.bfloat16, torch.float16) else z


def _log_cosh(u: Tensor) -> Tensor:
    """log(cosh(u)) without loss of digits near 0 and without overflow far from it."""
    near = u.abs() < 1
    small = torch.where(near, u, torch.zeros_like(u))
    large = torch.where(near, torch.ones_like(u), u.abs())
    return torch.where(
        near,
        torch.log1p(2 * torch.sinh(small / 2) ** 2),
        large + torch.log1p(torch.exp(-2 * large)) - math.log(2),
    )
