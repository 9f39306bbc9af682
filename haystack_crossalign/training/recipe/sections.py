"""The sections of a training recipe: every setting with its rule and default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from haystack_crossalign.config.rules import (
    boolean,
    by_language,
    choice,
    either,
    language,
    listed,
    model_name,
    number,
    optional,
    setting,
    text,
    whole,
)
from haystack_crossalign.data.corpora.registry import CORPORA

TRAINING_CORPORA = tuple(name for name, corpus in CORPORA.items() if corpus.training)
"""Corpora that triplets are built from."""

FORMATS = ("triplets", *TRAINING_CORPORA)
"""``triplets`` is any file of triplets; the others are those of the corpora."""

ALIGNMENTS = ("jsd", "passage_nce")
Z_FROM = ("before_normalization", "after_normalization")
DIRECTIONS = ("passage_to_query", "query_to_passage", "symmetric")
NCE_PAIRS = ("target:query", "passage:query", "target:target_query", "passage:target_query")
SIMILARITIES = ("query:passage", "passage:passage", "target_query:target", "target:target")


@dataclass(frozen=True)
class ModelSource:
    """The model that is trained.

    :param name: hub name, folder, or ``offline:multilingual-e5-small``.
    :param revision: branch, tag or commit on the hub.
    :param query_prefix: replaces the model's query prompt.
    :param document_prefix: replaces the model's document prompt.
    :param query_prompt: name of the model's prompt for queries, if the model has several.
    :param document_prompt: the same for documents.
    :param max_tokens: texts are cut after this many tokens in training; the saved model keeps its own limit.
    """

    name: str = setting(model_name())
    revision: str | None = setting(optional(text()), None)
    query_prefix: str | None = setting(optional(text(empty=True)), None)
    document_prefix: str | None = setting(optional(text(empty=True)), None)
    query_prompt: str | None = setting(optional(text()), None)
    document_prompt: str | None = setting(optional(text()), None)
    max_tokens: int | None = setting(optional(whole(8)), None)


@dataclass(frozen=True)
class Start:
    """Starting point of the training.

    :param kind: ``base``, or ``repair``: the model with its language directions projected out by a linear module at its
        end, fitted on the training passages.
    :param strength: strength of the projection, or ``auto``: chosen on the held-out part.
    :param common_share: share of the common mean that is removed, or ``auto``.
    :param directions: number of directions; null for all.
    :param whitening: shrinkage of the whitening of differences between translations: the larger, the weaker; null for
        none. ``auto``: chosen together with the others, none if those are given.
    :param passages: passages per language on which the repair is fitted.
    :param max_tokens: maximum length of those passages; null for `model.max_tokens`. Documents in an index are seldom
        cut as short as in training, and language means depend on length.
    :param tolerance: loss of same-language NDCG@1 that counts as harmless in the choice.
    :param train_dense: whether to train the linear module as well.
    :param refit: refit the linear module after training, to the trained encoder's embeddings of the same passages.
    :param own_share: after training, a map for each language
        (:func:`~haystack_crossalign.repair.language_maps.fit_language_maps`), which subtracts this further share of the
        common mean from the languages other than that of the queries: one number, or one for each of them (null for a
        language that keeps the shared map); null for one map for all.
    :param ridge: of those maps: the larger, the less a language is changed.
    :param closed: the index holds no other languages than those of the recipe, so that none is protected. Otherwise the
        directions of many languages are removed too, as by ``crossalign repair``
        (:mod:`haystack_crossalign.repair.other_languages`).
    """

    kind: str = setting(choice("base", "repair"), "base")
    strength: float | str = setting(either(choice("auto"), number(0, 1)), "auto")
    common_share: float | str = setting(either(choice("auto"), number(0, 1)), "auto")
    directions: int | None = setting(optional(whole(1)), None)
    whitening: float | str | None = setting(optional(either(choice("auto"), number(0, above=True))), "auto")
    passages: int = setting(whole(2), 4000)
    max_tokens: int | None = setting(optional(whole(8)), None)
    tolerance: float = setting(number(0, 1), 0.005)
    train_dense: bool = setting(boolean(), True)
    refit: bool = setting(boolean(), False)
    own_share: float | Mapping[str, float | None] | None = setting(
        optional(either(number(0, 1), by_language(optional(number(0, 1))))), None
    )
    ridge: float = setting(number(0, above=True), 3.0)
    closed: bool = setting(boolean(), False)


@dataclass(frozen=True)
class TrainSource:
    """A file of training data, or a published corpus.

    :param path: the file; relative to the recipe.
    :param corpus: name of a corpus instead of a path; ``CROSSALIGN_DATA`` is the folder of the corpora.
    :param format: of a file: ``triplets``, or that of a corpus.
    :param languages: target languages to use from it; null for those of the recipe.
    :param limit: maximum number of triplets, drawn by the seed, of as many different passages as possible.
    :param weight: how often each triplet is used in an epoch; a fraction selects a random part.
    :param drop: file with a JSON list of ids that are left out.
    :param aligned_sentences: split passages into sentences if their versions have the same number of them, and use the
        aligned sentences instead of the triplets of the file.
    :param block: of sentences: sentences per block.
    :param queries_per_block: of sentences: maximum number of sentences of a block that become queries.
    :param sentence_queries: number of sentences of each passage that become queries for it, in every language, in
        addition to the triplets of the file.
    :param fit_repair: whether the repair of the start is fitted also on passages of this file, which should resemble
        the documents of the index.
    :param licence: license note for the model card.
    """

    path: str | None = setting(optional(text()), None)
    corpus: str | None = setting(optional(choice(*TRAINING_CORPORA)), None)
    format: str = setting(choice(*FORMATS), "triplets")
    languages: tuple[str, ...] | None = setting(optional(listed(language(), shortest=1)), None)
    limit: int | None = setting(optional(whole(1)), None)
    weight: float = setting(number(0, 100, above=True), 1.0)
    drop: str | None = setting(optional(text()), None)
    aligned_sentences: bool = setting(boolean(), False)
    block: int = setting(whole(2), 4)
    queries_per_block: int = setting(whole(1), 1)
    sentence_queries: int = setting(whole(0), 0)
    fit_repair: bool = setting(boolean(), True)
    licence: str | None = setting(optional(text()), None)

    @property
    def kind(self) -> str:
        """How it is read: ``triplets``, or the name of a corpus."""
        return self.corpus or self.format


@dataclass(frozen=True)
class HeldOutPart:
    """The held-out part, used to choose weights.

    :param share: share of the parallel groups (or articles).
    :param limit: maximum number of triplets.
    :param by: hold out whole ``group``s, or whole ``article``s (the group id up to its last ``:`` or ``#``).
    :param path: file of triplets to use instead; relative to the recipe.
    """

    share: float = setting(number(0, 0.9), 0.1)
    limit: int = setting(whole(0), 400)
    by: str = setting(choice("group", "article"), "group")
    path: str | None = setting(optional(text()), None)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is held out."""
        return self.path is None and 0 in (self.share, self.limit)


@dataclass(frozen=True)
class LossOptions:
    """Options of :class:`~haystack_crossalign.training.losses.joint.CrossAlignLoss`."""

    alignment: str = setting(choice(*ALIGNMENTS), "jsd")
    alignment_weight: float = setting(number(0), 1.0)
    nce_weight: float = setting(number(0), 1.0)
    pool_weight: float = setting(number(0), 0.0)
    token_weight: float = setting(number(0), 0.0)
    token_temperature: float = setting(number(0, above=True), 0.02)
    token_threshold: float = setting(number(0, 1), 0.1)
    token_limit: int = setting(whole(1), 128)
    temperature: float = setting(number(0, above=True), 0.02)
    z_from: str = setting(choice(*Z_FROM), "before_normalization")
    softmax_temperature: float = setting(number(0, above=True), 1.0)
    direction: str = setting(choice(*DIRECTIONS), "passage_to_query")
    nce_pairs: tuple[str, ...] | None = setting(optional(listed(choice(*NCE_PAIRS), shortest=1)), None)

    @property
    def weights_anything(self) -> bool:
        """Whether any term has a weight above 0."""
        return any((self.alignment_weight, self.nce_weight, self.pool_weight, self.token_weight))


@dataclass(frozen=True)
class Distil:
    """Distillation from a teacher: the start or the base model.

    :param weight: weight of keeping its same-language similarities; 0 trains without it.
    :param temperature: of both softmaxes.
    :param teacher: ``start`` or ``base``.
    :param similarities: which in-batch similarities, as ``anchors:candidates``; those whose columns are missing in a
        batch are left out.
    :param anchor_weight: weight of pulling every version to the teacher's embedding of the source-language version;
        target-language queries must be translations of the queries.
    :param anchor_temperature: of the contrast with the other source-language texts of the batch.
    :param anchor_negatives: number of further source-language texts of the training data in that contrast, drawn for
        each batch; they cost almost nothing, because their teacher embeddings already exist.
    :param anchor_attraction: weight of the distance relative to that contrast.
    :param source_attraction: the same for source-language texts, which it keeps in place.
    :param anchor_share: share of a batch's source-language texts that are embedded by the model, which keeps them in
        place; for the others the teacher's embeddings are used, at no cost.
    """

    weight: float = setting(number(0), 0.0)
    temperature: float = setting(number(0, above=True), 0.05)
    teacher: str = setting(choice("start", "base"), "start")
    similarities: tuple[str, ...] = setting(listed(choice(*SIMILARITIES), shortest=1), SIMILARITIES)
    anchor_weight: float = setting(number(0), 0.0)
    anchor_temperature: float = setting(number(0, above=True), 0.03)
    anchor_negatives: int = setting(whole(0), 0)
    anchor_attraction: float = setting(number(0), 5.0)
    source_attraction: float = setting(number(0), 5.0)
    anchor_share: float = setting(number(0, 1), 1.0)


@dataclass(frozen=True)
class Optimiser:
    """AdamW and its schedule.

    :param learning_rate: the peak.
    :param weight_decay: decoupled, not for biases and norms.
    :param warmup_ratio: share of the steps in which the rate rises.
    :param schedule: the schedule afterwards.
    :param max_grad_norm: maximum norm of the gradients; 0 for no limit.
    :param epochs: passes over the data; may be a fraction.
    :param max_steps: maximum number of steps.
    :param batch_size: triplets per step and process.
    :param to_start: weight of ``|weights - start weights|^2`` in the loss.
    """

    learning_rate: float = setting(number(0, 1, above=True), 2e-5)
    weight_decay: float = setting(number(0), 0.01)
    warmup_ratio: float = setting(number(0, 1), 0.1)
    schedule: str = setting(choice("linear", "cosine", "constant"), "linear")
    max_grad_norm: float = setting(number(0), 1.0)
    epochs: float = setting(number(0, above=True), 1.0)
    max_steps: int | None = setting(optional(whole(1)), None)
    batch_size: int = setting(whole(2), 32)
    to_start: float = setting(number(0, 1e6), 0.0)


@dataclass(frozen=True)
class Lora:
    """Low-rank adapters, trained instead of the weights and merged before saving.

    :param rank: rank of the adapters.
    :param alpha: scale of the adapters, times 1 / rank.
    :param dropout: dropout before the adapters.
    :param targets: names of the linear modules; null for all of the transformer.
    """

    rank: int = setting(whole(1), 16)
    alpha: float = setting(number(0, above=True), 32.0)
    dropout: float = setting(number(0, 0.9), 0.0)
    targets: tuple[str, ...] | None = setting(optional(listed(text(), shortest=1)), None)


@dataclass(frozen=True)
class Evaluate:
    """Evaluation on the held-out part.

    :param every: steps between evaluations (an integer), or a share below 1 of an epoch (or of the run, if that is
        shorter); null to evaluate only before and after.
    :param tolerance: a model is harmless if no language's same-language NDCG@1 is more than this below the base
        model's.
    :param keep_own_first: accepted loss against the base model, in any language, of the share of queries that find a
        relevant document in their own language first in the pool of several languages (Top1[relevant,same]); a model
        that loses more is not harmless, and is not kept with ``keep: last`` either. null accepts any.
    :param patience: stop after this many evaluations without a better harmless model; null for never.
    :param pool: ``pairs``: English and one target language at a time; ``all``: one pool of all languages.
    :param keep: ``best`` by the criterion, or the ``last`` weights.
    """

    every: float | None = setting(optional(number(0, above=True)), 0.25)
    tolerance: float = setting(number(0, 1), 0.005)
    keep_own_first: float | None = setting(optional(number(0, 1)), None)
    patience: int | None = setting(optional(whole(1)), None)
    pool: str = setting(choice("pairs", "all"), "pairs")
    keep: str = setting(choice("best", "last"), "best")
