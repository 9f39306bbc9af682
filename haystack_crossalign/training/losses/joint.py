"""The joint loss as a sentence-transformers loss."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from torch import Tensor, nn

from haystack_crossalign.training.losses.gather import gather_columns, share_of_batch
from haystack_crossalign.training.losses.objective import Objective, Plan
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
    trainer sums and logs one by one: ``jsd`` or ``passage_nce``, ``nce`` and ``pool``; a term of weight 0 is left out,
    and columns that no term needs are not embedded. Losses that wrap another loss and need a single number
    (``MatryoshkaLoss``, ``AdaptiveLayerLoss``) do not accept a dictionary.

    :param model: the ``SentenceTransformer`` that is trained.
    :param alignment: ``"jsd"``, or ``"passage_nce"``: InfoNCE between target passages and passages instead (the paper's
        ablation L_NCEpsg).
    :param alignment_weight: weight of L_JSD (or of its replacement); 0 trains without it.
    :param nce_weight: weight of L_NCE; 0 trains without it.
    :param pool_weight: weight of a term that is not in the paper: InfoNCE of each query, in every available language,
        against one pool of the passages in all languages, with all versions of its own passage as positives.
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
        with self._embedding():
            # Plain dictionaries: DistributedDataParallel finds no tensors in the tokenizer's own mapping type, takes
            # all weights for unused and fails.
            columns = {number: self.model(dict(features[number]))["sentence_embedding"] for number in plan.used}
        return self._terms(plan, columns)

    def compute_loss_from_embeddings(
        self,
        embeddings: Sequence[Tensor],
        labels: Tensor | None = None,  # noqa: ARG002 - part of the interface
    ) -> dict[str, Tensor]:
        """Compute the loss from existing embeddings.

        :param embeddings: ``[batch, dim]`` per column, as the model returns them or, for
            ``z_from="before_normalization"``, before the last normalization.
        :param labels: ignored.
        :returns: the weighted terms, scalars; their sum is the loss.
        """
        plan = self.objective.plan(len(embeddings))
        return self._terms(plan, {number: embeddings[number] for number in plan.used})

    def _embedding(self) -> Any:
        return without_final_normalization(self.model, active=self.objective.z_from == "before_normalization")

    def _terms(self, plan: Plan, columns: dict[int, Tensor]) -> dict[str, Tensor]:
        first = next(iter(columns.values()))
        candidates = gather_columns(
            {number: columns[number] for number in plan.candidates}, across_devices=self.gather_across_devices
        )
        share = share_of_batch(first, across_devices=self.gather_across_devices)
        terms = self.objective.rows(plan, columns, candidates, slice(0, len(first)))
        return {name: rows.mean() * share for name, rows in terms.items()}

    def get_config_dict(self) -> dict[str, Any]:
        """Every option with its value, for the model card."""
        return self.objective.config() | {"gather_across_devices": self.gather_across_devices}

    @property
    def citation(self) -> str:
        """BibTeX entry of the method, for the model card."""
        return CITATION
