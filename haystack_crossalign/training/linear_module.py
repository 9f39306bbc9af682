"""The linear module at the end of a model: fitted in closed form, or trained on precomputed embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize
from torch import Tensor, nn

from haystack_crossalign.repair.affine import AffineMap
from haystack_crossalign.repair.directions import fit_language_directions
from haystack_crossalign.repair.language_maps import LanguageMaps, fit_language_maps
from haystack_crossalign.repair.maps.detectors import ShortQueries
from haystack_crossalign.repair.matrix_file import VectorMap
from haystack_crossalign.repair.other_languages import OtherLanguages, known_others, shipped_texts
from haystack_crossalign.repair.sample import short_queries
from haystack_crossalign.training.batches.packing import DOCUMENT, QUERY, TextTable, embed_table
from haystack_crossalign.training.model_setup import BaseModel, StartRepair
from haystack_crossalign.training.recipe.recipe import Recipe


@dataclass
class EmbeddingMemory:
    """Cache of base-model embeddings for several runs of one process that share texts.

    The last bits of an embedding depend on the texts computed with it, so a run that uses the cache can differ in
    rounding from one that does not.
    """

    known: dict[tuple[Any, ...], NDArray[np.float32]] = field(default_factory=dict)


@dataclass(frozen=True)
class Vectors:
    """Embeds rows of a table.

    :param table: the texts.
    :param device: device of the models.
    :param bf16: whether transformers compute in bf16.
    :param memory: embeddings of base models, or None.
    """

    table: TextTable
    device: str
    bf16: bool
    memory: EmbeddingMemory | None = None

    def __call__(self, model: Any, rows: Sequence[int]) -> NDArray[np.float32]:
        """Embed rows with any model: float32 ``[rows, dim]``."""
        return embed_table(model, self.table, rows, device=self.device, bf16=self.bf16)

    def of_base(self, base: BaseModel, rows: Sequence[int]) -> NDArray[np.float32]:
        """The same with the untrained base model, from the cache if possible."""
        if self.memory is None:
            return self(base.model, rows)
        known, texts = self.memory.known, self.table.texts()
        model = (base.loaded.sha256, self.bf16, base.prompts.query, base.prompts.document, self.table.max_tokens)
        keys = [(model, *texts[row]) for row in rows]
        new = [row for row, key in zip(rows, keys, strict=True) if key not in known]
        if new:
            for row, vector in zip(new, self(base.model, new), strict=True):
                known[model, *texts[row]] = vector
        return np.stack([known[key] for key in keys]) if keys else self(base.model, rows)

    def whole(self, base: BaseModel, rows: Sequence[int]) -> NDArray[np.float32]:
        """Float32 ``[texts, dim]`` for the whole table, zero except for some rows."""
        vectors = self.of_base(base, rows)
        table = np.zeros((len(self.table), vectors.shape[1]), dtype=np.float32)
        table[rows] = vectors
        return table


def encoder_of(model: nn.Module) -> nn.Module:
    """The base modules of a repaired model, shared with it.

    :param model: from :func:`~haystack_crossalign.repair.model_folder.repaired_model`.
    """
    return nn.Sequential(*list(model.children())[:-3])


def head_of(model: nn.Module) -> nn.Module:
    """The final modules of a repaired model, shared with it: Normalize, Dense, Normalize.

    :param model: from :func:`~haystack_crossalign.repair.model_folder.repaired_model`.
    """
    return nn.Sequential(*list(model.children())[-3:])


def apply_head(head: nn.Module, vectors: Tensor) -> NDArray[np.float32]:
    """Transform embeddings of the base model.

    :param head: from :func:`head_of`.
    :param vectors: float32 ``[n, dim]``.
    """
    device = next(head.parameters()).device
    with torch.no_grad():
        moved: Tensor = head({"sentence_embedding": vectors.to(device)})["sentence_embedding"]
    return moved.float().cpu().numpy()


def map_of(model: nn.Module) -> AffineMap:
    """The trained map, which transforms vectors of the base model.

    :param model: a repaired model.
    """
    linear = _linear(model)
    weight, bias = linear.weight.detach(), linear.bias.detach()
    return AffineMap(weight.float().cpu().numpy().copy(), bias.float().cpu().numpy().copy())


def set_map(model: nn.Module, repair: AffineMap) -> None:
    """Replace the map at the end of a repaired model.

    :param model: changed in place.
    :param repair: of the model's dimension.
    """
    linear = _linear(model)
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(repair.matrix))
        linear.bias.copy_(torch.from_numpy(repair.bias))


def _linear(model: nn.Module) -> nn.Linear:
    before, dense, after = list(model.children())[-3:]
    if not (isinstance(before, Normalize) and isinstance(dense, Dense) and isinstance(after, Normalize)):
        raise TypeError(f"not a repaired model: {type(before)}, {type(dense)}, {type(after)}")
    return dense.linear


def protected_languages(
    recipe: Recipe, base: BaseModel, vectors: Vectors, fitted: Sequence[str], encoder: nn.Module | None = None
) -> OtherLanguages | None:
    """Embeddings of texts in the languages that a repair must not harm; None for a closed index.

    :param recipe: the recipe.
    :param base: the untrained model.
    :param vectors: embeds the passages of the repair.
    :param fitted: tags of the languages it is fitted on.
    :param encoder: the trained encoder; None for that of the base model.
    """
    if recipe.start.closed:
        return None
    texts = shipped_texts().passages
    # A table of its own, so that what is counted of the training texts stays what it is.
    table = TextTable(base.model, base.prompts, max_tokens=vectors.table.max_tokens)
    rows = [table.add(DOCUMENT, text.text) for text in texts]
    own = replace(vectors, table=table)
    embedded = own.of_base(base, rows) if encoder is None else own(encoder, rows)
    return known_others(embedded, texts, fitted, recipe.language)


@dataclass(frozen=True, eq=False)
class FinalSample:
    """Passages that a final map is fitted on.

    :param vectors: float32 ``[n, dim]``, embeddings by the trained encoder.
    :param tags: language of each, BCP-47.
    :param groups: parallel group of each.
    :param others: texts of languages that are protected, by the trained encoder; None for a closed index.
    :param queries: short queries in the languages, likewise; None for none.
    """

    vectors: NDArray[np.float32]
    tags: Sequence[str]
    groups: Sequence[str]
    others: OtherLanguages | None = None
    queries: ShortQueries | None = None


def queries_to_fit_on(
    base: BaseModel, vectors: Vectors, rows: Sequence[int], tags: Sequence[str], encoder: nn.Module | None = None
) -> ShortQueries:
    """Sentences of passages, embedded as queries.

    :param base: the untrained model.
    :param vectors: embeds the passages.
    :param rows: their rows.
    :param tags: language of each.
    :param encoder: the trained encoder; None for that of the base model.
    """
    texts = vectors.table.texts()
    made = short_queries([texts[row][1] for row in rows], tags)
    # A table of its own, so that what is counted of the training texts stays what it is.
    table = TextTable(base.model, base.prompts, max_tokens=vectors.table.max_tokens)
    own, asked = replace(vectors, table=table), [table.add(QUERY, text) for _, text in made]
    embedded = own.of_base(base, asked) if encoder is None else own(encoder, asked)
    return ShortQueries(embedded, [tag for tag, _ in made])


def has_final_map(recipe: Recipe) -> bool:
    """Whether the recipe fits anything after training."""
    start = recipe.start
    return start.kind == "repair" and (start.refit or start.own_share is not None)


def fit_final_map(
    recipe: Recipe,
    model: SentenceTransformer,
    choice: StartRepair,
    sample: FinalSample,
    own_margins: Mapping[str, float] | None = None,
) -> VectorMap:
    """Refit the linear module with the strengths of the start, and fit language maps, as the recipe says.

    :param recipe: one with :func:`has_final_map`.
    :param model: a repaired and trained model; its linear module is replaced.
    :param choice: the repair that training started from.
    :param sample: the passages of the start's sample.
    :param own_margins: see :func:`~haystack_crossalign.repair.language_maps.fit_language_maps`; with them each language
        has a map of its own.
    :returns: the linear module's map, or a map per language, which is not yet in the model.
    """
    start, passages = recipe.start, (sample.vectors, sample.tags, sample.groups, sample.others)
    shared = fit_language_directions(*passages).affine(*choice.strengths) if start.refit else map_of(model)
    set_map(model, shared)
    if start.own_share is None and not own_margins:
        return shared
    return fit_own_maps(recipe, shared, *passages, own_margins=own_margins, queries=sample.queries)


def fit_own_maps(
    recipe: Recipe,
    shared: AffineMap,
    vectors: NDArray[np.float32],
    tags: Sequence[str],
    groups: Sequence[str],
    others: OtherLanguages | None = None,
    own_margins: Mapping[str, float] | None = None,
    queries: ShortQueries | None = None,
) -> LanguageMaps:
    """Fit a map for each language, based on the one for all.

    :param recipe: where it has no ``start.own_share``, each language keeps the shared map, and its margin is added.
    :param shared: the map for all.
    :param vectors: float32 ``[n, dim]``, embeddings of passages before any map.
    :param tags: language of each, BCP-47.
    :param groups: parallel group of each.
    :param others: texts of languages that are protected, embedded likewise; they get the shared map.
    :param own_margins: see :func:`~haystack_crossalign.repair.language_maps.fit_language_maps`.
    :param queries: likewise.
    :raises InputError: if a language has no passage parallel to the recipe's language, or its mean lies between two
        others.
    """
    start = recipe.start
    own_share = dict.fromkeys(set(tags) - {recipe.language}) if start.own_share is None else start.own_share
    means = None if others is None else fit_language_directions(vectors, tags, groups, others).other_means
    return fit_language_maps(
        shared, vectors, tags, groups, pivot=recipe.language, own_share=own_share, ridge=start.ridge, others=means,
        own_margins=own_margins, queries=queries,
    )  # fmt: skip
