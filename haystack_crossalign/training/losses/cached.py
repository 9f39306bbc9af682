"""The joint loss with gradient caching: large batches with the memory use of small ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from sentence_transformers.base.losses import CachedLossMixin, has_static_embedding_input
from torch import Tensor, nn

from haystack_crossalign.errors import InputError
from haystack_crossalign.training.losses.gather import Gathered, gather_columns
from haystack_crossalign.training.losses.joint import CITATION, CrossAlignLoss
from haystack_crossalign.training.losses.objective import Plan
from haystack_crossalign.training.losses.tokens import Tokens

_GRADCACHE_CITATION = """
@misc{gao2021scaling,
    title={Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup},
    author={Luyu Gao and Yunyi Zhang and Jiawei Han and Jamie Callan},
    year={2021},
    eprint={2101.06983},
    archivePrefix={arXiv},
    primaryClass={cs.LG}
}
"""


class CachedCrossAlignLoss(CrossAlignLoss):
    """:class:`CrossAlignLoss` that encodes one mini-batch at a time (GradCache, arXiv 2101.06983).

    All texts are embedded without a graph, the gradient of the loss with respect to the embeddings is stored, and each
    mini-batch is embedded again to propagate its part to the weights. The second pass repeats the dropout of the first.
    The gradients are those of the plain loss; the encoder's activations need the memory of ``mini_batch_size`` texts
    for any batch size; a step needs one more forward pass. Options, columns and result are those of
    :class:`CrossAlignLoss`.

    :param model: the ``SentenceTransformer`` that is trained.
    :param mini_batch_size: texts per forward pass, also rows per block of the score matrix; it need not divide the
        batch size.
    :param mini_batch_num_tokens: maximum number of tokens (without padding) of a mini-batch; its number of texts then
        varies, and ``mini_batch_size`` applies only to the score matrix.
    :raises InputError: for an option that is not allowed, and for models of static embeddings, whose inputs cannot be
        split.
    """

    # Tells sentence-transformers that this loss propagates gradients by a hook on its result.
    uses_gradient_cache = True

    def __init__(
        self,
        model: nn.Module,
        *,
        mini_batch_size: int = 16,
        mini_batch_num_tokens: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(model, **options)
        for name, value in (("mini_batch_size", mini_batch_size), ("mini_batch_num_tokens", mini_batch_num_tokens)):
            if value is not None and value < 1:
                raise InputError("must be at least 1", field=name, seen=value)
        if has_static_embedding_input(model):
            raise InputError(
                "inputs of static embeddings cannot be split into mini-batches", field="model", allowed="CrossAlignLoss"
            )
        self.mini_batch_size = mini_batch_size
        self.mini_batch_num_tokens = mini_batch_num_tokens

    def forward(
        self,
        sentence_features: Iterable[dict[str, Tensor]],
        labels: Tensor | None = None,  # noqa: ARG002 - part of the interface
    ) -> dict[str, Tensor]:
        """Embed the columns twice, in mini-batches, and compute the loss; see :meth:`CrossAlignLoss.forward`."""
        features = list(sentence_features)
        plan = self.objective.plan(len(features))
        cached_pass = _CachedPass(self, plan, features)
        loss = cached_pass.forward_cached([features[number] for number in plan.used])
        terms = cached_pass.terms
        if loss.requires_grad:
            # The hook that replays the mini-batches is on the sum; it is attached to one term, with value 0 and slope
            # 1.
            last = list(terms)[-1]
            terms[last] = terms[last] + (loss - loss.detach())
        return terms

    def get_config_dict(self) -> dict[str, Any]:
        """Every option with its value, for the model card."""
        return super().get_config_dict() | {
            "mini_batch_size": self.mini_batch_size,
            "mini_batch_num_tokens": self.mini_batch_num_tokens,
        }

    @property
    def citation(self) -> str:
        """BibTeX entries of the method and of gradient caching, for the model card."""
        return CITATION + _GRADCACHE_CITATION


class _CachedPass(CachedLossMixin, nn.Module):
    """The state of a forward pass of the loss for its backward pass, which a later forward pass cannot overwrite."""

    def __init__(self, loss: CachedCrossAlignLoss, plan: Plan, features: Sequence[dict[str, Tensor]]) -> None:
        super().__init__()
        self.model = loss.model
        self.mini_batch_size = loss.mini_batch_size
        self.mini_batch_num_tokens = loss.mini_batch_num_tokens
        self.objective = loss.objective
        self.gather_across_devices = loss.gather_across_devices
        self.embedding, self.scales = loss._embedding, loss._scales
        self.plan = plan
        self.taps = {number: loss._tap(plan, features, number) for number in plan.used}
        # Mini-batches are told by the features that they are a part of.
        self.taps_by_features = {id(features[number]): self.taps[number] for number in plan.used}
        self.terms: dict[str, Tensor] = {}
        # The second pass over the texts runs in the backward pass, where autocast is off, and must repeat the first
        # one.
        self.device_type: str = next(loss.model.parameters()).device.type
        self.autocast_dtype = torch.get_autocast_dtype(self.device_type)
        self.autocast_enabled = torch.is_autocast_enabled(self.device_type)

    def embed_minibatch(self, sentence_feature: dict[str, Tensor], *args: Any, **kwargs: Any) -> Any:
        autocast = torch.autocast(self.device_type, dtype=self.autocast_dtype, enabled=self.autocast_enabled)
        with autocast, self.embedding(self.taps_by_features[id(sentence_feature)]):
            return super().embed_minibatch(sentence_feature, *args, **kwargs)

    def calculate_loss(
        self,
        reps: list[list[Tensor]],
        labels: Tensor | None = None,  # noqa: ARG002 - part of the interface
        *,
        with_backward: bool = False,
    ) -> Tensor:
        """Loss of the whole batch, in blocks of rows; with ``with_backward`` also its gradient with respect to the
        embeddings.
        """
        # A backward pass never runs under autocast, which would compute its matrix products in half precision.
        with torch.autocast(self.device_type, enabled=False):
            return self._calculate_loss(reps, with_backward=with_backward)

    def _calculate_loss(self, reps: list[list[Tensor]], *, with_backward: bool) -> Tensor:
        columns = {number: torch.cat(parts) for number, parts in zip(self.plan.used, reps, strict=True)}
        leaves = {number: _leaf(rows) for number, rows in columns.items()}
        gathered = gather_columns(
            {number: self.taps[number].embeddings(leaves[number]) for number in self.plan.candidates},
            across_devices=self.gather_across_devices,
        )
        # Leaves accumulate the gradients of all blocks, so that the backward pass of the collective runs once.
        candidates = {number: Gathered(_leaf(each.rows), each.offset) for number, each in gathered.items()}
        first = next(iter(leaves.values()))
        scales = self.scales(len(first), first.device, self._tokens(leaves))
        for start in range(0, len(first), self.mini_batch_size):
            rows = slice(start, min(start + self.mini_batch_size, len(first)))
            # Parts of the leaves are taken anew: a backward pass frees the graph that they are taken by.
            own = {number: self.taps[number].embeddings(leaf) for number, leaf in leaves.items()}
            terms = self.objective.rows(self.plan, own, candidates, rows, self._tokens(leaves))
            terms = {name: term.sum() * scales[name == "token"] for name, term in terms.items()}
            if with_backward:
                torch.autograd.backward(list(terms.values()))
            for name, term in terms.items():
                self.terms[name] = term.detach() + self.terms.get(name, 0)
        if with_backward:
            if candidates:
                torch.autograd.backward(
                    [each.rows for each in gathered.values()], [each.rows.grad for each in candidates.values()]
                )
            torch.autograd.backward(list(columns.values()), [leaf.grad for leaf in leaves.values()])
        return torch.stack(list(self.terms.values())).sum()

    def _tokens(self, leaves: dict[int, Tensor]) -> dict[int, Tokens]:
        return {number: self.taps[number].tokens(leaves[number]) for number in self.plan.token_columns}


def _leaf(rows: Tensor) -> Tensor:
    return rows.detach().requires_grad_()
