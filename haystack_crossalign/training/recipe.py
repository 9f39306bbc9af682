"""A training recipe: every setting of a run, read from YAML, each value checked with its line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from haystack_crossalign.precision import PRECISIONS
from haystack_crossalign.training.recipe_rules import (
    Rule,
    boolean,
    choice,
    either,
    language,
    listed,
    number,
    optional,
    setting,
    text,
    whole,
)
from haystack_crossalign.training.recipe_sections import read_section
from haystack_crossalign.training.recipe_yaml import Settings, apply_override, read_yaml

__all__ = [
    "FORMATS",
    "Distil",
    "Evaluate",
    "HeldOutPart",
    "Lora",
    "LossOptions",
    "ModelSource",
    "Optimiser",
    "Recipe",
    "Start",
    "TrainSource",
    "make_recipe",
    "read_recipe",
    "read_section",
]

FORMATS = ("triplets", "course_sections", "squad", "ntrex", "tico19")
"""``triplets`` is any file of triplets; the others are corpora that triplets are built from."""

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
    :param max_tokens: texts are cut after so many tokens in training; the saved model keeps its own limit.
    """

    name: str = setting(text())
    revision: str | None = setting(optional(text()), None)
    query_prefix: str | None = setting(optional(Rule(str, "a text")), None)
    document_prefix: str | None = setting(optional(Rule(str, "a text")), None)
    max_tokens: int | None = setting(optional(whole(8)), None)


@dataclass(frozen=True)
class Start:
    """What training starts from.

    :param kind: ``base``, or ``repair``: the model with its language directions projected out by a linear module at
        its end, fitted on the training passages.
    :param strength: strength of the projection, or ``auto``: chosen on the held-out part.
    :param common_share: share of the common mean that is removed, or ``auto``.
    :param directions: number of directions; null takes all.
    :param whitening: shrinkage of the whitening of what tells translations apart: the larger, the weaker; null for
        none. ``auto``: chosen along with the others, none where those are given.
    :param passages: passages per language that the repair is fitted on.
    :param tolerance: loss of same-language NDCG@1 that counts as none in the choice.
    :param train_dense: whether the linear module is trained along.
    :param refit: fit the linear module again after training, to what the trained encoder makes of the same passages.
    """

    kind: str = setting(choice("base", "repair"), "base")
    strength: float | str = setting(either(choice("auto"), number(0, 1)), "auto")
    common_share: float | str = setting(either(choice("auto"), number(0, 1)), "auto")
    directions: int | None = setting(optional(whole(1)), None)
    whitening: float | str | None = setting(optional(either(choice("auto"), number(0, above=True))), "auto")
    passages: int = setting(whole(2), 800)
    tolerance: float = setting(number(0, 1), 0.005)
    train_dense: bool = setting(boolean(), True)
    refit: bool = setting(boolean(), False)


@dataclass(frozen=True)
class TrainSource:
    """One file of training data.

    :param path: the file; relative to the recipe.
    :param format: ``triplets``, or the corpus it is.
    :param languages: target languages taken from it; null takes those of the recipe that it has.
    :param limit: at most so many triplets, drawn by the seed.
    :param weight: how often each triplet is seen in an epoch; a broken part by a draw.
    :param drop: file with a JSON list of ids that are left out.
    :param aligned_sentences: take the passages apart where their versions have as many sentences each, and use the
        sentences, each translated by its counterpart, in place of the triplets of the file.
    :param block: of sentences: so many per block.
    :param queries_per_block: of sentences: at most so many of a block become queries.
    :param sentence_queries: sentences of each passage that become queries for it, in every language, beside the
        triplets of the file.
    :param fit_repair: whether the passages of this file count among those that the repair of the start is fitted on:
        best where they are such as stand in the index.
    :param licence: licence note for the model card.
    """

    path: str = setting(text())
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


@dataclass(frozen=True)
class HeldOutPart:
    """What is kept from training to choose by.

    :param share: share of the parallel groups (or articles).
    :param limit: at most so many triplets in it.
    :param by: keep whole ``group``s apart, or whole ``article``s (the group id up to its last ``:`` or ``#``).
    :param path: file of triplets to use instead; relative to the recipe.
    """

    share: float = setting(number(0, 0.9), 0.1)
    limit: int = setting(whole(0), 400)
    by: str = setting(choice("group", "article"), "group")
    path: str | None = setting(optional(text()), None)


@dataclass(frozen=True)
class LossOptions:
    """Options of :class:`~haystack_crossalign.training.loss.CrossAlignLoss`."""

    alignment: str = setting(choice(*ALIGNMENTS), "jsd")
    alignment_weight: float = setting(number(0), 1.0)
    nce_weight: float = setting(number(0), 1.0)
    pool_weight: float = setting(number(0), 0.0)
    temperature: float = setting(number(0, above=True), 0.02)
    z_from: str = setting(choice(*Z_FROM), "before_normalization")
    softmax_temperature: float = setting(number(0, above=True), 1.0)
    direction: str = setting(choice(*DIRECTIONS), "passage_to_query")
    nce_pairs: tuple[str, ...] | None = setting(optional(listed(choice(*NCE_PAIRS), shortest=1)), None)


@dataclass(frozen=True)
class Distil:
    """Distillation from a teacher: the start or the base model.

    :param weight: weight of keeping its same-language similarities; 0 trains without it.
    :param temperature: of both softmaxes.
    :param teacher: ``start`` or ``base``.
    :param similarities: which in-batch similarities, as ``anchors:candidates``; those whose columns a batch lacks are
        left out there.
    :param anchor_weight: weight of drawing every version of a text to where the teacher has the source-language one;
        target-language queries must be translations of the queries.
    :param anchor_temperature: of the contrast with the other source-language texts of the batch.
    :param anchor_negatives: so many more source-language texts of the training data, drawn for each batch, in that
        contrast; they cost nothing, as the teacher's embeddings are there.
    :param anchor_attraction: weight of the distance against that contrast.
    :param source_attraction: the same of the source-language texts, which hold on to their places by it.
    :param anchor_share: share of a batch's source-language texts that go through the model, so that they stay where
        they are; the others stand in the batch as the teacher has them, which costs nothing.
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
    :param weight_decay: decoupled, not on biases and norms.
    :param warmup_ratio: share of the steps in which the rate rises.
    :param schedule: what it does afterwards.
    :param max_grad_norm: gradients are scaled down to this length; 0 leaves them.
    :param epochs: passes over the data, also a broken number.
    :param max_steps: at most so many steps.
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
    to_start: float = setting(number(0), 0.0)


@dataclass(frozen=True)
class Lora:
    """Low-rank adapters in place of the weights; merged before saving.

    :param rank: rank of the adapters.
    :param alpha: scale of the adapters, times 1 / rank.
    :param dropout: in front of them.
    :param targets: names of the linear modules; null takes all of the transformer.
    """

    rank: int = setting(whole(1), 16)
    alpha: float = setting(number(0, above=True), 32.0)
    dropout: float = setting(number(0, 0.9), 0.0)
    targets: tuple[str, ...] | None = setting(optional(listed(text(), shortest=1)), None)


@dataclass(frozen=True)
class Evaluate:
    """Evaluation on the held-out part.

    :param every: steps between evaluations (a whole number), or a share of an epoch below 1; null evaluates before
        and after only.
    :param tolerance: a model is harmless when no language's same-language NDCG@1 is more than this below the base's.
    :param patience: stop after so many evaluations without a better harmless model; null never.
    :param pool: ``pairs``: English and one target language at a time; ``all``: one pool of all languages.
    :param keep: ``best`` by the criterion, or the ``last`` weights.
    """

    every: float | None = setting(optional(number(0, above=True)), 0.25)
    tolerance: float = setting(number(0, 1), 0.005)
    patience: int | None = setting(optional(whole(1)), None)
    pool: str = setting(choice("pairs", "all"), "pairs")
    keep: str = setting(choice("best", "last"), "best")


@dataclass(frozen=True)
class Recipe:
    """Every setting of a training run.

    :param model: the model that is trained.
    :param data: the training files.
    :param languages: target languages.
    :param language: language of queries and passages.
    :param start: what training starts from.
    :param target_queries: whether target-language queries are used where the data has them.
    :param batch_languages: ``one`` target language per batch, languages in turn; ``mixed``; or ``all`` of a triplet in
        one row, for triplets that have all of them.
    :param held_out: what is kept from training.
    :param loss: the joint loss.
    :param distil: distillation of the start's same-language similarities.
    :param optimiser: optimiser and schedule.
    :param precision: of the transformer; ``auto`` is bf16 where the processor has the instructions.
    :param device: ``auto`` takes a GPU if there is one.
    :param freeze_encoder: train the linear module of ``start: repair`` only, on embeddings that are made once: seconds
        instead of minutes, and a matrix file that moves the vectors already in an index.
    :param freeze_token_table: whether the token embeddings stay as they are; ``auto``: on a CPU.
    :param dropout: dropout of the transformer; null keeps the model's own.
    :param lora: low-rank adapters, or null.
    :param interpolate: share of the tuned weights in their mean with the start; ``auto`` chooses on the held-out part.
    :param evaluate: evaluation on the held-out part.
    :param checkpoint: steps between checkpoints; null writes one at each evaluation.
    :param seed: of everything that is drawn.
    :param name: name of the model in the card; null takes that of the output folder.
    :param folder: where relative paths start; not part of the recipe.
    """

    model: ModelSource = field(metadata={"section": ModelSource, "short": "name"})
    data: tuple[TrainSource, ...] = field(default=(), metadata={"section": TrainSource, "many": True})
    languages: tuple[str, ...] = setting(listed(language(), shortest=1), ())
    language: str = setting(language(), "en")
    start: Start = field(default=Start(), metadata={"section": Start, "short": "kind"})
    target_queries: bool = setting(boolean(), True)
    batch_languages: str = setting(choice("one", "mixed", "all"), "one")
    held_out: HeldOutPart = field(default=HeldOutPart(), metadata={"section": HeldOutPart})
    loss: LossOptions = field(default=LossOptions(), metadata={"section": LossOptions})
    distil: Distil = field(default=Distil(), metadata={"section": Distil})
    optimiser: Optimiser = field(default=Optimiser(), metadata={"section": Optimiser})
    precision: str = setting(choice(*PRECISIONS), "auto")
    device: str = setting(choice("auto", "cpu", "cuda"), "auto")
    freeze_encoder: bool = setting(boolean(), False)
    freeze_token_table: bool | str = setting(either(choice("auto"), boolean()), "auto")
    dropout: float | None = setting(optional(number(0, 0.9)), None)
    lora: Lora | None = field(default=None, metadata={"section": Lora, "optional": True})
    interpolate: float | str = setting(either(choice("auto"), number(0, 1)), 1.0)
    evaluate: Evaluate = field(default=Evaluate(), metadata={"section": Evaluate})
    checkpoint: int | None = setting(optional(whole(1)), None)
    seed: int = setting(whole(0), 0)
    name: str | None = setting(optional(text()), None)
    folder: Path = field(default=Path(), compare=False, metadata={"hidden": True})

    def to_dict(self) -> dict[str, Any]:
        """The recipe as plain data: read again it gives the same recipe."""
        values = asdict(self)
        del values["folder"]
        return _plain(values)  # type: ignore[no-any-return]

    def public(self) -> dict[str, Any]:
        """The recipe without the folders of this machine, for what is handed on."""
        values = self.to_dict()
        for section, key in [(values["model"], "name"), (values["held_out"], "path")]:
            section[key] = _without_folder(section[key])
        for source in values["data"]:
            source["path"], source["drop"] = _without_folder(source["path"]), _without_folder(source["drop"])
        return values


def read_recipe(path: Path | str, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe.

    :param path: YAML file.
    :param overrides: ``key=value``, applied in order: ``optimiser.learning_rate=2e-5``, ``data.0.limit=100``.
    :raises InputError: for the first unknown key or value that is not allowed; names file, line and key.
    """
    path = Path(path)
    return _recipe(read_yaml(path), overrides, path.parent)


def make_recipe(values: Mapping[str, Any], *, folder: Path | str = ".", overrides: Sequence[str] = ()) -> Recipe:
    """A recipe from nested values, checked like a file.

    :param values: the sections.
    :param folder: where relative paths start.
    :param overrides: see :func:`read_recipe`.
    :raises InputError: as :func:`read_recipe`.
    """
    return _recipe(Settings(_plain(dict(values)), {}, "recipe"), overrides, Path(folder))


def _recipe(settings: Settings, overrides: Sequence[str], folder: Path) -> Recipe:
    shorts = {one.name: one.metadata["short"] for one in fields(Recipe) if "short" in one.metadata}
    for name, short in shorts.items():
        value = settings.values.get(name)
        if isinstance(value, str):
            # A plain name stands for the section with that name.
            settings.values[name] = {short: value}
    for override in overrides:
        key, equals, plain = override.partition("=")
        inner = shorts.get(key.strip())
        apply_override(settings, f"{key}.{inner}={plain}" if inner and equals else override)
    made = read_section(Recipe, settings.values, (), settings)
    object.__setattr__(made, "folder", folder)
    if made.language in made.languages:
        raise settings.error(
            "the target languages hold the language of the queries", ("languages",), made.languages, "other languages"
        )
    if made.loss.alignment_weight == made.loss.nce_weight == made.loss.pool_weight == 0:
        raise settings.error("all weights are 0: nothing is left to train", ("loss",), 0, "one weight above 0")
    if made.distil.anchor_weight and any(source.sentence_queries for source in made.data):
        raise settings.error(
            "sentences as queries are no translations of one another, which anchors need",
            ("distil", "anchor_weight"),
            made.distil.anchor_weight,
            "0, or data without sentence_queries",
        )
    if made.distil.anchor_share < 1 and (made.freeze_encoder or not made.distil.anchor_weight):
        raise settings.error(
            "texts stand in the batch as the teacher has them where anchors draw the others to it",
            ("distil", "anchor_share"),
            made.distil.anchor_share,
            "1, or distil.anchor_weight above 0 and freeze_encoder: false",
        )
    if made.start.refit and (made.start.kind != "repair" or made.start.train_dense):
        raise settings.error(
            "a linear module that is trained is not fitted again",
            ("start", "refit"),
            True,
            "false, or start.kind: repair with start.train_dense: false",
        )
    if made.freeze_encoder and (made.start.kind != "repair" or not made.start.train_dense or made.lora is not None):
        raise settings.error(
            "with the encoder frozen, the linear module of the repair is all that can be trained",
            ("freeze_encoder",),
            True,
            "false, or start.kind: repair with start.train_dense: true and without lora",
        )
    return made


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _without_folder(path: str | None) -> str | None:
    """The last part of a path; a hub name with its owner stays."""
    if path is None or not (path.startswith((".", "/", "~")) or path.count("/") > 1 or Path(path).suffix):
        return path
    return Path(path).name
