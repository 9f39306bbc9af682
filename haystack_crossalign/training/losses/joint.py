"""The joint loss as a sentence-transformers loss."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from haystack_crossalign.errors import InputError
from haystack_crossalign.training.losses.gather import gather_columns, scale_of_mean
from haystack_crossalign.training.losses.objective import Objective, Plan
from haystack_crossalign.training.losses.tokens import Tokens, TokenTap, tapped
from haystack_crossalign.training.losses.unnormalized import without_final_normalization

CITATION = """
@inproceedings{hong2026improving,
    title={Improving Semantic Proximity in Information Retrieval through Cross-Lingual Alignment},
    author={Hong and Jang and Lee and Moon and Lim},
    booktitle={International Conference on Learning Representations},
    year={2026},
    eprint={2604.05684},
    archivePrefix={arXiv}
}
"""


class CrossAlignLoss(nn.Module):
    """Joint loss that pulls the language versions of a passage together and keeps them near their query.

    ``L = alignment_weight * L_JSD + nce_weight * L_NCE`` over a batch of (query, passage, target passage):

    - ``L_JSD = sqrt(JSD(softmax(z_passage) || softmax(z_target)))``, the mean over the rows, with the softmax over the
      dimensions of the embedding;
    - ``L_NCE``: InfoNCE on cosines whose anchor is the target passage, its positive the query of its row, its negatives
      the queries of the other rows.

    Source: Hong, Jang, Lee, Moon, Lim: "Improving Semantic Proximity in Information Retrieval through Cross-Lingual
    Alignment", ICLR 2026, arXiv 2604.05684. The paper states neither the temperature nor whether z is normalized; the
    defaults here are the values that worked on multilingual-e5-small.

    Columns, in this order (their names do not matter): query, passage, one target passage or several in different
    languages and, with ``target_queries=True``, one target-language query for each target passage in the same order.
    Labels are ignored. No batch may contain two triplets with the same query or passage, as they would be negatives of
    each other.

    Works with the stock ``SentenceTransformerTrainer``. The result is a dictionary with the weighted terms, which the
    trainer sums and logs one by one: ``jsd`` or ``passage_nce``, ``nce``, ``pool`` and ``token``; a term of weight 0
    is left out, and columns that no term needs are not embedded. Losses that wrap another loss and need a single number
    (``MatryoshkaLoss``, ``AdaptiveLayerLoss``) do not accept a dictionary.

    :param model: the ``SentenceTransformer`` that is trained.
    :param alignment: ``"jsd"``, or ``"passage_nce"``: InfoNCE between target passages and passages instead (the paper's
        ablation L_NCEpsg).
    :param alignment_weight: weight of L_JSD (or of its replacement); 0 trains without it.
    :param nce_weight: weight of L_NCE; 0 trains without it.
    :param pool_weight: weight of a term that is not in the paper: InfoNCE of each query, in every available language,
        against one pool of the passages in all languages, with all versions of its own passage as positives.
    :param token_weight: weight of another term that is not in the paper: the tokens of the passage and of each target
        passage are aligned (:func:`~haystack_crossalign.training.losses.tokens.token_alignment_rows`), over the rows in
        which every version has tokens.
    :param token_temperature: temperature of the softmax over tokens.
    :param token_threshold: two tokens are aligned if both choose each other with more than this probability.
    :param token_limit: number of tokens of a text that are aligned, from its beginning, without special tokens and
        prompt.
    :param temperature: temperature of InfoNCE.
    :param z_from: whether L_JSD takes the embeddings ``"before_normalization"`` (the input of the model's last
        ``Normalize``; the embedding itself in a model without one) or ``"after_normalization"`` (scaled to unit
        length).
    :param softmax_temperature: divides z before the softmax.
    :param direction: direction of the contrast: ``"passage_to_query"`` (the paper: passages are anchors, queries the
        candidates), ``"query_to_passage"``, or the mean of both, ``"symmetric"``.
    :param nce_pairs: passages and queries that L_NCE compares, as ``"passage column:query column"``; several are
        averaged. ``"target:query"`` is the paper's and the default; ``"passage:query"`` anchors English retrieval;
        ``"target:target_query"`` and ``"passage:target_query"`` need ``target_queries`` and are then part of the
        default.
    :param target_queries: the last columns hold target-language queries.
    :param gather_across_devices: take in-batch negatives from all processes of a distributed run.
    :raises InputError: for an option that is not allowed; on use, if the number of columns does not match.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        gather_across_devices: bool = False,
        **options: Any,
    ) -> None:
        super().__init__()
        self.model = model
        self.objective = Objective(**options)
        self.gather_across_devices = gather_across_devices

    def forward(
        self,
        sentence_features: Iterable[dict[str, Tensor]],
        labels: Tensor | None = None,  # noqa: ARG002 - part of the interface
    ) -> dict[str, Tensor]:
        """Embed the columns and compute the loss.

        :param sentence_features: tokenized columns, as the trainer's collator makes them.
        :param labels: ignored.
        :returns: the weighted terms, scalars; their sum is the loss.
        """
        features = list(sentence_features)
        plan = self.objective.plan(len(features))
        columns, tokens = {}, {}
        for number in plan.used:
            tap = self._tap(plan, features, number)
            with self._embedding(tap):
                # Plain dictionaries: DistributedDataParallel finds no tensors in the tokenizer's own mapping type,
                # takes all weights for unused and fails.
                rows = self.model(dict(features[number]))["sentence_embedding"]
            columns[number] = tap.embeddings(rows)
            if tap.width:
                tokens[number] = tap.tokens(rows)
        return self._terms(plan, columns, tokens)

    def compute_loss_from_embeddings(
        self,
        embeddings: Sequence[Tensor],
        labels: Tensor | None = None,  # noqa: ARG002 - part of the interface
        *,
        tokens: Mapping[int, Tokens] | None = None,
    ) -> dict[str, Tensor]:
        """Compute the loss from existing embeddings.

        :param embeddings: ``[batch, dim]`` per column, as the model returns them or, for
            ``z_from="before_normalization"``, before the last normalization.
        :param labels: ignored.
        :param tokens: with ``token_weight``, the tokens of the passage columns by column number.
        :returns: the weighted terms, scalars; their sum is the loss.
        :raises InputError: if tokens are needed and missing.
        """
        plan = self.objective.plan(len(embeddings))
        if missing := [number for number in plan.token_columns if number not in (tokens or {})]:
            raise InputError("needs the tokens of the passages", field="token_weight", seen=f"none of {missing}")
        return self._terms(plan, {number: embeddings[number] for number in plan.used}, tokens or {})

    def _tap(self, plan: Plan, features: Sequence[Mapping[str, Any]], number: int) -> TokenTap:
        """What takes the tokens of a column along, if they are needed."""
        if number not in plan.token_columns:
            return TokenTap(0)
        ids = features[number].get("input_ids")
        longest = ids.shape[-1] if isinstance(ids, Tensor) else 1
        return TokenTap(min(self.objective.token_limit, longest))

    def _embedding(self, tap: TokenTap) -> ExitStack:
        stack = ExitStack()
        stack.enter_context(
            without_final_normalization(self.model, active=self.objective.z_from == "before_normalization")
        )
        stack.enter_context(tapped(self.model, tap))
        return stack

    def _terms(self, plan: Plan, columns: dict[int, Tensor], tokens: Mapping[int, Tokens]) -> dict[str, Tensor]:
        first = next(iter(columns.values()))
        candidates = gather_columns(
            {number: columns[number] for number in plan.candidates}, across_devices=self.gather_across_devices
        )
        scales = self._scales(len(first), first.device, tokens)
        terms = self.objective.rows(plan, columns, candidates, slice(0, len(first)), tokens)
        return {name: rows.sum() * scales[name == "token"] for name, rows in terms.items()}

    def _scales(self, rows: int, device: torch.device, tokens: Mapping[int, Tokens]) -> tuple[float, float]:
        """Factors for sums over rows: that of the terms over all rows, and that of tokens, which count fewer."""
        counts = [rows]
        if tokens:
            counts.append(int(self.objective.counted(tokens).sum()))
        scales = [scale_of_mean(count, device, across_devices=self.gather_across_devices) for count in counts]
        return scales[0], scales[-1]

    def get_config_dict(self) -> dict[str, Any]:
        """Every option with its value, for the model card."""
        return self.objective.config() | {"gather_across_devices": self.gather_across_devices}

    @property
    def citation(self) -> str:
        """BibTeX entry of the method, for the model card."""
        return CITATION
