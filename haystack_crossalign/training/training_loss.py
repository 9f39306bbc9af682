"""The loss of a training step: the joint loss on packed texts, and the distillation beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from haystack_crossalign.errors import InputError
from haystack_crossalign.training.batches.packing import Packed, embed_packed, transformer_precision
from haystack_crossalign.training.losses.distillation import AnchorDistillation, SimilarityDistillation
from haystack_crossalign.training.losses.joint import CrossAlignLoss
from haystack_crossalign.training.losses.tokens import Tokens, TokenTap, tapped
from haystack_crossalign.training.losses.unnormalized import without_final_normalization
from haystack_crossalign.training.recipe.sections import LossOptions


class TrainingLoss(nn.Module):
    """Embeds the distinct texts of a batch and computes the joint loss of its columns.

    :param model: the ``SentenceTransformer`` that is trained.
    :param options: options of the joint loss.
    :param distillation: a term beside it, or None.
    :param anchors: another, or None.
    :param bf16: whether the transformer computes in bf16.
    :param target_queries: whether any batch has target-language queries.
    :param without: whether any batch has none.
    :param gather_across_devices: take in-batch negatives from all processes.
    :raises InputError: if the pairs to contrast need target-language queries that some batches lack.
    """

    def __init__(
        self,
        model: nn.Module,
        options: LossOptions,
        *,
        distillation: SimilarityDistillation | None = None,
        anchors: AnchorDistillation | None = None,
        bf16: bool = False,
        target_queries: bool = True,
        without: bool = True,
        gather_across_devices: bool = False,
    ) -> None:
        super().__init__()
        self.model = model
        self.distillation, self.anchors = distillation, anchors
        self.bf16 = bf16
        self.unnormalized = options.z_from == "before_normalization"
        self.token_limit = options.token_limit if options.token_weight else 0
        self.joint: dict[bool, CrossAlignLoss] = {}
        for with_queries, needed in ((True, target_queries), (False, without)):
            if not needed:
                continue
            pairs = options.nce_pairs
            if pairs is not None and not with_queries:
                pairs = tuple(pair for pair in pairs if not pair.endswith("target_query"))
                if not pairs and options.nce_weight:
                    raise InputError(
                        "some triplets have no target-language query, and all pairs need one",
                        field="loss.nce_pairs",
                        seen=options.nce_pairs,
                        allowed="also target:query or passage:query",
                    )
            self.joint[with_queries] = CrossAlignLoss(
                # It is given embeddings; with the model in it, every weight would be registered twice.
                nn.Identity(),
                **vars(options) | {"nce_pairs": pairs or None},
                target_queries=with_queries,
                gather_across_devices=gather_across_devices,
            )

    def forward(
        self,
        sentence_features: Iterable[Mapping[str, Any]],
        labels: Tensor | None = None,  # noqa: ARG002 - part of the interface
    ) -> dict[str, Tensor]:
        """The terms of one batch.

        :param sentence_features: one entry, as :class:`~haystack_crossalign.training.batches.rows.Collator` makes it.
        :param labels: ignored.
        :returns: ``jsd`` or ``passage_nce``, ``nce``, ``pool``, ``token``, ``distil`` and ``anchor``, each with its
            weight.
        """
        (batch,) = sentence_features
        packed = Packed(tuple(batch["parts"]), batch["order"])
        places: Tensor = batch["columns"]
        targets = int(batch["targets"])
        longest = max(part["input_ids"].shape[1] for part in packed.parts) if self.token_limit else 0
        tap = TokenTap(min(self.token_limit, longest))
        with (
            transformer_precision(self.model, places.device, bf16=self.bf16),
            without_final_normalization(self.model, active=self.unnormalized),
            tapped(self.model, tap),
        ):
            rows = embed_packed(self.model, packed)
        embeddings = tap.embeddings(rows)
        given = None
        if "given" in batch:
            given = places >= len(embeddings)
            embeddings = torch.cat([embeddings, batch["given"].to(embeddings)])
        columns = [embeddings[column] for column in places]
        terms = self.joint[len(columns) > 2 + targets].compute_loss_from_embeddings(
            columns, tokens=self._tokens(tap, rows, places, targets)
        )
        if self.distillation is not None:
            terms["distil"] = self.distillation(columns, [batch["teacher"][column] for column in places], targets)
        if self.anchors is not None:
            terms["anchor"] = self.anchors(
                columns,
                [batch["teacher"][column] for column in places],
                targets,
                given=given,
                negatives=batch.get("negatives"),
            )
        return terms

    def _tokens(self, tap: TokenTap, rows: Tensor, places: Tensor, targets: int) -> dict[int, Tokens]:
        """The tokens of passages and target passages; none of those that the teacher's embeddings stand for."""
        if not tap.width:
            return {}
        tokens = tap.tokens(rows)
        found = {}
        for number in range(1, 2 + targets):
            own = places[number] < len(rows)
            taken = tokens[torch.where(own, places[number], 0)]
            found[number] = Tokens(taken.vectors, taken.used & own[:, None])
        return found

    def get_config_dict(self) -> dict[str, Any]:
        """Every option with its value."""
        config = next(iter(self.joint.values())).get_config_dict()
        if self.distillation is not None:
            config["distil"] = vars(self.distillation)
        if self.anchors is not None:
            config["anchor"] = vars(self.anchors)
        return config
