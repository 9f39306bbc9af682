"""Token-level alignment: contextual tokens of translated passages, aligned without a dictionary.

Source: Dou and Neubig, "Word Alignment by Fine-tuning Embeddings on Parallel Corpora" (awesome-align), EACL 2021,
arXiv 2101.08231: the self-training objective. Its published evidence is for word alignment and for cross-lingual
transfer, not for retrieval. Optimal transport between tokens was used for retrieval (OPTICAL, arXiv 2301.12566), but
needs the tokens of a fixed teacher: trained on both sides, its cost is lowest where all tokens are equal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the name that PyTorch code uses
from torch import Tensor, nn

from haystack_crossalign.errors import InputError
from haystack_crossalign.training.losses.functional import widen


@dataclass(frozen=True)
class Tokens:
    """Contextual embeddings of the tokens of some texts, without special tokens and prompt.

    :param vectors: ``[texts, tokens, dim]``; 0 where a text has fewer tokens.
    :param used: bool ``[texts, tokens]``: which of them are tokens of the text.
    """

    vectors: Tensor
    used: Tensor

    def __getitem__(self, rows: slice | Tensor) -> Tokens:
        return Tokens(self.vectors[rows], self.used[rows])

    @property
    def any(self) -> Tensor:
        """Bool ``[texts]``: which texts have tokens."""
        return self.used.any(dim=1)


def token_alignment_rows(first: Tokens, second: Tokens, temperature: float, threshold: float) -> Tensor:
    """Self-training of soft token alignments, row by row:

        1 - 1/2 * sum_ij A_ij (P_ij / n + Q_ij / m)

    with ``P`` the softmax of ``cos(x_i, y_j) / t`` over the m tokens j of the second version, ``Q`` that over the n
    tokens i of the first, and ``A_ij = 1`` where both are above the threshold (a constant: no gradient flows through
    it). Pairs of tokens that choose each other are drawn together, against the other tokens of both texts.

    The paper adds both sums and maximizes them; here their mean is subtracted from 1, so that the loss lies between 0
    and 1. It takes dot products of one layer of mBERT, where a temperature is not needed, and a threshold of 0.001;
    cosines and a temperature do not depend on the lengths of a model's vectors.

    :param first: tokens of the passages.
    :param second: tokens of their translations, row by row.
    :param temperature: ``t``, above 0.
    :param threshold: of A, 0 to 1.
    :returns: ``[rows]``, 0 where a version has no tokens; fp32 for half precisions.
    """
    with torch.autocast(first.vectors.device.type, enabled=False):
        x, y = (F.normalize(widen(side.vectors), dim=-1) for side in (first, second))
        scores = x @ y.transpose(1, 2) / temperature
        pairs = first.used[:, :, None] & second.used[:, None, :]
        # A finite value: rows without any pair would otherwise be NaN, also in the gradient.
        scores = scores.masked_fill(~pairs, torch.finfo(scores.dtype).min)
        forward, backward = torch.softmax(scores, dim=2), torch.softmax(scores, dim=1)
        aligned = (pairs & (forward > threshold) & (backward > threshold)).to(scores.dtype)
        n, m = (side.used.sum(dim=1).clamp(min=1) for side in (first, second))
        share = ((forward * aligned).sum(dim=(1, 2)) / n + (backward * aligned).sum(dim=(1, 2)) / m) / 2
        return torch.where(first.any & second.any, 1 - share, torch.zeros_like(share))


@dataclass
class TokenTap:
    """Takes the tokens of a text out of a model together with its embedding, as one row.

    Within :func:`tapped`, ``model(features)["sentence_embedding"]`` is ``[texts, dim + width * (token dim + 1)]``: the
    embedding, the tokens, and 1 for each token that is used. What passes embeddings on (mini-batches that are embedded
    twice, packed parts in another order) then passes on the tokens too, with their gradients.

    :param width: maximum number of tokens of a text; 0 leaves the model as it is.
    :param dim: dimension of the embedding, known after the first forward pass.
    """

    width: int
    dim: int = 0

    def embeddings(self, rows: Tensor) -> Tensor:
        """The embeddings ``[texts, dim]`` of rows."""
        return rows[:, : self.dim] if self.width else rows

    def tokens(self, rows: Tensor) -> Tokens:
        """The tokens of rows."""
        beside = rows[:, self.dim :]
        vectors, used = beside[:, : -self.width], beside[:, -self.width :]
        return Tokens(vectors.reshape(len(vectors), self.width, -1), used.detach() > 0)


@contextmanager
def tapped(model: nn.Module, tap: TokenTap) -> Iterator[None]:
    """Inside the block, the model's embeddings carry their tokens, see :class:`TokenTap`.

    :param model: a ``SentenceTransformer``, also inside ``DistributedDataParallel``.
    :param tap: a width of 0 does nothing.
    :raises InputError: for a compiled model, and in a forward pass of a model that gives no token embeddings.
    """
    if not tap.width:
        yield
        return
    inner = _unwrapped(model)
    if hasattr(inner, "_orig_mod") or getattr(inner, "_compiled_call_impl", None) is not None:
        raise InputError(
            "token embeddings cannot be taken from a compiled model",
            field="token_weight",
            allowed="0, or training without torch.compile",
        )
    special: list[int] = list(getattr(getattr(inner, "tokenizer", None), "all_special_ids", ()))
    content: list[Tensor] = []

    def before(_module: nn.Module, args: tuple[Mapping[str, Any], ...]) -> None:
        # Before the forward pass: a pooling without the prompt changes the attention mask in place.
        content[:] = [content_mask(args[0], special)]

    def after(_module: nn.Module, _args: Any, output: dict[str, Any]) -> dict[str, Any]:
        embedding, tokens = output["sentence_embedding"], output.get("token_embeddings")
        if not isinstance(tokens, Tensor) or tokens.shape[:2] != content[0].shape:
            raise _no_tokens()
        taken = _first_tokens(tokens, content.pop(), tap.width)
        tap.dim = embedding.shape[1]
        beside = [embedding, taken.vectors.flatten(1), taken.used.to(taken.vectors.dtype)]
        return {**output, "sentence_embedding": torch.cat(beside, dim=1)}

    hooks = [inner.register_forward_pre_hook(before), inner.register_forward_hook(after)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def content_mask(features: Mapping[str, Any], special: list[int]) -> Tensor:
    """Which tokens are content: neither padding nor special nor part of the prompt.

    :param features: tokenized texts. Where they have a ``prompt_length``, as many tokens are left out at the beginning
        of each; for some tokenizers sentence-transformers counts one more than the prompt has.
    :param special: ids of special tokens.
    :returns: bool ``[texts, positions]``.
    :raises InputError: if they are not padded tokens.
    """
    ids, mask = features.get("input_ids"), features.get("attention_mask")
    if not (isinstance(ids, Tensor) and isinstance(mask, Tensor) and ids.ndim == 2 and ids.shape == mask.shape):
        raise _no_tokens()
    prompt = features.get("prompt_length") or 0
    length = int(prompt.flatten()[0]) if isinstance(prompt, Tensor) else int(prompt)
    # Counted from the first token of the text, which padding on the left moves.
    content = mask.bool() & (mask.long().cumsum(dim=1) > length)
    return content & ~torch.isin(ids, torch.tensor(special, dtype=ids.dtype, device=ids.device))


def _first_tokens(vectors: Tensor, content: Tensor, width: int) -> Tokens:
    """The first tokens of content of each text.

    :param vectors: ``[texts, positions, dim]``.
    :param content: bool ``[texts, positions]``.
    :param width: tokens of the result.
    """
    # A stable sort puts the positions of content first, in order.
    order = torch.sort(content.to(torch.int8), dim=1, descending=True, stable=True).indices[:, :width]
    used = content.gather(1, order)
    taken = vectors.gather(1, order[:, :, None].expand(-1, -1, vectors.shape[2])).masked_fill(~used[:, :, None], 0)
    missing = width - order.shape[1]
    return Tokens(F.pad(taken, (0, 0, 0, missing)), F.pad(used, (0, missing)))


def _unwrapped(model: nn.Module) -> nn.Module:
    inner = getattr(model, "module", None)
    return inner if isinstance(inner, nn.Module) else model


def _no_tokens() -> InputError:
    return InputError(
        "the model gives no embeddings of padded tokens", field="token_weight", allowed="0, or a transformer model"
    )
