"""A training recipe: every setting of a run, read from YAML; errors name the line of the value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from haystack_crossalign.config.rules import (
    boolean,
    choice,
    either,
    language,
    listed,
    number,
    optional,
    read_section,
    setting,
    text,
    whole,
)
from haystack_crossalign.config.yaml_file import Settings, apply_override, read_yaml
from haystack_crossalign.errors import InputError
from haystack_crossalign.models.names import model_beside
from haystack_crossalign.precision import PRECISIONS
from haystack_crossalign.training.recipe.sections import (
    TRAINING_CORPORA,
    Distil,
    Evaluate,
    HeldOutPart,
    Lora,
    LossOptions,
    ModelSource,
    Optimiser,
    Start,
    TrainSource,
)


@dataclass(frozen=True)
class Recipe:
    """Every setting of a training run.

    :param model: the model that is trained.
    :param data: the training files.
    :param languages: target languages.
    :param language: language of queries and passages.
    :param start: starting point of the training.
    :param target_queries: whether to use target-language queries if the data has them.
    :param batch_languages: ``one`` target language per batch; ``mixed``; or ``all`` languages of a triplet in one row,
        for triplets that have all of them.
    :param language_exponent: weight of a language's number of triplets, 0 to 1: with 1 every triplet is used once per
        epoch, with 0 every language equally often (some triplets are repeated or left out), in the same number of
        steps.
    :param batch_neighbours: number of triplets of an article (the group id up to its last ``:`` or ``#``) to put into a
        batch together, as hard negatives of each other. 1 for random batches.
    :param held_out: the part that is not trained on.
    :param loss: the joint loss.
    :param distil: distillation of the start's same-language similarities.
    :param optimiser: optimizer and schedule.
    :param precision: of the transformer; ``auto`` is bf16 if the processor has the instructions.
    :param device: ``auto`` for a GPU if there is one.
    :param freeze_encoder: train only the linear module of ``start: repair``, on precomputed embeddings: takes seconds
        instead of minutes, and gives a matrix file that converts vectors in an index.
    :param freeze_token_table: whether to freeze the token embeddings; ``auto``: on a CPU.
    :param dropout: dropout of the transformer; null keeps the model's own.
    :param lora: low-rank adapters, or null.
    :param interpolate: share of the tuned weights in their mean with the start; ``auto`` chooses on the held-out part.
    :param evaluate: evaluation on the held-out part.
    :param checkpoint: steps between checkpoints; null for one at each evaluation, or four per epoch (or per run, if
        that is shorter).
    :param seed: of all random draws.
    :param name: name of the model in the card; null for that of the output folder.
    :param folder: base of relative paths; not part of the recipe.
    :param corpora: folder of the corpora, None if ``CROSSALIGN_DATA`` names it; likewise.
    :param origin: the file and its lines, for messages; likewise.
    """

    model: ModelSource = field(metadata={"section": ModelSource, "short": "name"})
    data: tuple[TrainSource, ...] = field(default=(), metadata={"section": TrainSource, "many": True})
    languages: tuple[str, ...] = setting(listed(language(), shortest=1), ())
    language: str = setting(language(), "en")
    start: Start = field(default=Start(), metadata={"section": Start, "short": "kind"})
    target_queries: bool = setting(boolean(), True)
    batch_languages: str = setting(choice("one", "mixed", "all"), "one")
    language_exponent: float = setting(number(0, 1), 1.0)
    batch_neighbours: int = setting(whole(1), 1)
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
    seed: int = setting(whole(0, 2**32 - 1), 0)  # limits of NumPy's seeds
    name: str | None = setting(optional(text()), None)
    folder: Path = field(default=Path(), compare=False, metadata={"hidden": True})
    corpora: Path | None = field(default=None, compare=False, metadata={"hidden": True})
    origin: Settings | None = field(default=None, compare=False, repr=False, metadata={"hidden": True})

    def error(
        self, problem: str, path: tuple[str | int, ...], seen: object = ..., allowed: str | None = None
    ) -> InputError:
        """The error, with file, line and key, for a setting that is found invalid only when the data are read.

        :param problem: what is wrong, without a full stop.
        :param path: the key's parts, such as ``("data", 0, "path")``.
        :param seen: the value seen.
        :param allowed: the values allowed, in words.
        """
        origin = Settings({}, {}, "recipe") if self.origin is None else self.origin
        return origin.error(problem, path, seen, allowed)

    @contextmanager
    def errors_at(self, *path: str | int) -> Iterator[None]:
        """Add the file and line of a setting to input errors within the block.

        :param path: see :meth:`error`.
        """
        try:
            yield
        except InputError as error:
            raise self.error(error.problem, path, error.seen, error.allowed) from error

    def to_dict(self) -> dict[str, Any]:
        """The recipe as plain data, from which the same recipe can be read."""
        values = asdict(replace(self, origin=None))
        del values["folder"], values["corpora"], values["origin"]
        return _plain(values)  # type: ignore[no-any-return]

    def public(self) -> dict[str, Any]:
        """The recipe without folders of this machine, for publication."""
        values = self.to_dict()
        for section, key in [(values["model"], "name"), (values["held_out"], "path")]:
            section[key] = _without_folder(section[key])
        for source in values["data"]:
            source["path"], source["drop"] = _without_folder(source["path"]), _without_folder(source["drop"])
        return values


def read_recipe(path: Path | str, overrides: Sequence[str] = (), *, corpora: Path | None = None) -> Recipe:
    """Read a recipe.

    :param path: YAML file.
    :param corpora: folder of the corpora; None for ``CROSSALIGN_DATA``.
    :param overrides: ``key=value``, applied in order: ``optimiser.learning_rate=2e-5``, ``data.0.limit=100``.
    :raises InputError: for the first key that is unknown or value that is not allowed, with file, line and key.
    """
    path = Path(path)
    return replace(_recipe(read_yaml(path), overrides, path.parent), corpora=corpora)


def make_recipe(values: Mapping[str, Any], *, folder: Path | str = ".", overrides: Sequence[str] = ()) -> Recipe:
    """Make a recipe from nested values, checked like a file.

    :param values: the sections.
    :param folder: base of relative paths.
    :param overrides: see :func:`read_recipe`.
    :raises InputError: as :func:`read_recipe`.
    """
    return _recipe(Settings(_plain(dict(values)), {}, "recipe"), overrides, Path(folder))


def _recipe(settings: Settings, overrides: Sequence[str], folder: Path) -> Recipe:
    shorts = {setting.name: setting.metadata["short"] for setting in fields(Recipe) if "short" in setting.metadata}
    for name, short in shorts.items():
        value = settings.values.get(name)
        if isinstance(value, str):
            # A plain name is short for a section with only that name.
            settings.values[name] = {short: value}
    for override in overrides:
        key, equals, plain = override.partition("=")
        inner = shorts.get(key.strip())
        short = inner and equals and not plain.lstrip().startswith("{")  # otherwise the value is the whole section
        apply_override(settings, f"{key}.{inner}={plain}" if short else override)
    start = settings.values.get("start")
    if isinstance(start, Mapping) and start and "kind" not in start:
        raise settings.error(
            "settings of a repair, but start.kind is not repair",
            ("start",),
            ", ".join(map(str, start)),
            "kind: repair beside them",
        )
    recipe = read_section(Recipe, settings.values, (), settings)
    recipe = replace(
        recipe,
        model=replace(recipe.model, name=model_beside(recipe.model.name, folder)),
        folder=folder,
        origin=settings,
    )
    for place, source in enumerate(recipe.data):
        if (source.path is None) == (source.corpus is None) or (source.corpus and source.format != "triplets"):
            raise settings.error(
                "a path with its format, or a corpus",
                ("data", place),
                ", ".join(name for name in ("path", "corpus", "format") if name in settings.values["data"][place])
                or "neither",
                "path: FILE, or corpus: one of " + ", ".join(TRAINING_CORPORA),
            )
    if recipe.language in recipe.languages:
        raise settings.error(
            "the language of the queries is also a target language", ("languages",), recipe.languages, "other languages"
        )
    if not recipe.loss.weights_anything:
        raise settings.error("all weights are 0: nothing is left to train", ("loss",), 0, "one weight above 0")
    if recipe.distil.anchor_weight and any(source.sentence_queries for source in recipe.data):
        raise settings.error(
            "sentences used as queries are not translations of one another, which anchors need",
            ("distil", "anchor_weight"),
            recipe.distil.anchor_weight,
            "0, or data without sentence_queries",
        )
    if recipe.distil.anchor_share < 1 and (recipe.freeze_encoder or not recipe.distil.anchor_weight):
        raise settings.error(
            "teacher embeddings replace texts of a batch only where anchors train the others",
            ("distil", "anchor_share"),
            recipe.distil.anchor_share,
            "1, or distil.anchor_weight above 0 and freeze_encoder: false",
        )
    if recipe.distil.anchor_negatives and not recipe.distil.anchor_weight:
        raise settings.error(
            "there is no contrast that uses them",
            ("distil", "anchor_negatives"),
            recipe.distil.anchor_negatives,
            "0, or distil.anchor_weight above 0",
        )
    if recipe.freeze_token_table is False and (recipe.lora is not None or recipe.freeze_encoder):
        raise settings.error(
            "the token embeddings stay as they are where adapters or the linear module alone are trained",
            ("freeze_token_table",),
            False,
            "auto or true, or no lora and freeze_encoder: false",
        )
    if recipe.dropout and recipe.freeze_encoder:
        raise settings.error(
            "embeddings that are computed once have no dropout",
            ("dropout",),
            recipe.dropout,
            "null, or freeze_encoder: false",
        )
    if recipe.language_exponent < 1 and recipe.batch_languages == "all":
        raise settings.error(
            "rows with all languages cannot be weighted by language",
            ("language_exponent",),
            recipe.language_exponent,
            "1, or batch_languages: one or mixed",
        )
    if recipe.start.refit and (recipe.start.kind != "repair" or recipe.start.train_dense):
        raise settings.error(
            "a linear module that is trained is not fitted again",
            ("start", "refit"),
            True,
            "false, or start.kind: repair with start.train_dense: false",
        )
    if recipe.start.own_share is not None and not (recipe.start.refit or recipe.freeze_encoder):
        raise settings.error(
            "a map for each language needs a frozen encoder, or a refit to the trained one",
            ("start", "own_share"),
            recipe.start.own_share,
            "null, or start.refit: true, or freeze_encoder: true",
        )
    nothing_held_out = recipe.held_out.is_empty
    if isinstance(recipe.interpolate, str) and nothing_held_out:
        raise settings.error(
            "a share is chosen on the held-out part, and there is none",
            ("interpolate",),
            recipe.interpolate,
            "a number, or held_out.share and held_out.limit above 0",
        )
    if recipe.evaluate.keep_own_first is not None and nothing_held_out:
        raise settings.error(
            "the own language first is measured on the held-out part, and there is none",
            ("evaluate", "keep_own_first"),
            recipe.evaluate.keep_own_first,
            "null, or held_out.share and held_out.limit above 0",
        )
    if recipe.evaluate.patience is not None and (recipe.evaluate.every is None or nothing_held_out):
        raise settings.error(
            "no evaluation during the run could stop it",
            ("evaluate", "patience"),
            recipe.evaluate.patience,
            "null, or evaluate.every and a held-out part",
        )
    loss = recipe.loss
    if loss.token_weight and (recipe.freeze_encoder or recipe.distil.anchor_share == 0):
        raise settings.error(
            "the tokens of both versions must be embedded in training",
            ("loss", "token_weight"),
            loss.token_weight,
            "0, or freeze_encoder: false and distil.anchor_share above 0",
        )
    if (
        recipe.distil.anchor_share < 1
        and loss.alignment_weight
        and loss.alignment == "jsd"
        and loss.z_from == "before_normalization"
    ):
        raise settings.error(
            "passages that the teacher embeds have length 1, and would be compared with others before normalization",
            ("loss", "z_from"),
            loss.z_from,
            "after_normalization, or distil.anchor_share: 1, or loss.alignment_weight: 0",
        )
    own = recipe.start.own_share
    if isinstance(own, Mapping) and set(own) != set(recipe.languages):
        raise settings.error(
            "a share is needed for each target language",
            ("start", "own_share"),
            ", ".join(own),
            "one number, or one for each of " + ", ".join(recipe.languages),
        )
    if recipe.freeze_encoder and (
        recipe.start.kind != "repair" or not recipe.start.train_dense or recipe.lora is not None
    ):
        raise settings.error(
            "with the encoder frozen, the linear module of the repair is all that can be trained",
            ("freeze_encoder",),
            True,
            "false, or start.kind: repair with start.train_dense: true and without lora",
        )
    return recipe


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        # As in a file, where keys are always strings: the tag of Norwegian is not a boolean.
        return {"no" if key is False else str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _without_folder(path: str | None) -> str | None:
    """The last part of a path; a hub name keeps its owner."""
    if path is None or not (path.startswith((".", "/", "~")) or path.count("/") > 1 or Path(path).suffix):
        return path
    return Path(path).name
