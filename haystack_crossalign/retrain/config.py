"""The configuration of a retraining job, read from YAML; errors name the line of the value."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from haystack_crossalign.config.rules import (
    boolean,
    choice,
    either,
    language,
    listed,
    model_name,
    number,
    optional,
    read_section,
    setting,
    text,
    whole,
)
from haystack_crossalign.config.yaml_file import Settings, apply_override, read_yaml
from haystack_crossalign.errors import InputError
from haystack_crossalign.files.paths import expanded
from haystack_crossalign.mining.pairs import NEIGHBOURS, THRESHOLD
from haystack_crossalign.repair.texts import FORMATS, JUDGED


@dataclass(frozen=True)
class FileSource:
    """A file to read.

    :param path: the file; relative to the configuration.
    :param format: ``documents``, ``triplets``, a corpus, or ``auto``.
    """

    path: str = setting(text())
    format: str = setting(choice(*(name for name in FORMATS if name not in JUDGED)), "auto")


@dataclass(frozen=True)
class IndexSource:
    """A live index to read from; null values come from the profile, the environment or the default.

    Secrets come from the environment or from files named in a profile, never from here.

    :param index: index or alias; a profile of that name applies.
    :param profile: profile in ``crossalign.toml``.
    :param config: that file; relative to the configuration.
    :param hosts: addresses of the cluster.
    :param embedding_field: field that holds the vector.
    :param language_field: field that holds the language.
    :param group_field: field that versions of one content share.
    :param content_field: field that holds the text.
    :param title_field: field that holds the title.
    :param limit: maximum number of parallel groups, drawn by the seed; for mining, of documents per language.
    """

    index: str = setting(text())
    profile: str | None = setting(optional(text()), None)
    config: str | None = setting(optional(text()), None)
    hosts: tuple[str, ...] | None = setting(optional(listed(text(), shortest=1)), None)
    embedding_field: str | None = setting(optional(text()), None)
    language_field: str | None = setting(optional(text()), None)
    group_field: str | None = setting(optional(text()), None)
    content_field: str | None = setting(optional(text()), None)
    title_field: str | None = setting(optional(text()), None)
    limit: int = setting(whole(2), 5000)


@dataclass(frozen=True)
class Source:
    """The source of parallel texts: files, an index, or both.

    :param files: the files.
    :param index: the index, or null.
    """

    files: tuple[FileSource, ...] = field(default=(), metadata={"section": FileSource, "many": True})
    index: IndexSource | None = field(default=None, metadata={"section": IndexSource, "optional": True})


@dataclass(frozen=True)
class Mine:
    """Mining of translation pairs, for documents without groups.

    :param margin: minimum margin of a pair, see :mod:`haystack_crossalign.mining.pairs`.
    :param neighbours: number of neighbors for the margin.
    """

    margin: float = setting(number(0), THRESHOLD)
    neighbours: int = setting(whole(1), NEIGHBOURS)


@dataclass(frozen=True)
class Filters:
    """Filters applied before training; null or false disables a filter.

    :param language: drop texts that are not in the stated language.
    :param length_ratio: drop targets more than this many times longer or shorter than usual.
    :param ambiguous: drop queries that belong to more than this many groups.
    :param near_duplicates: drop triplets whose passage shares this part of its n-grams with that of an earlier triplet
        of another group, or with the same query.
    :param evaluation: files, or folders of files, whose texts must not be trained on; those of the audit are added.
    """

    language: bool = setting(boolean(), True)
    length_ratio: float | None = setting(optional(number(1, above=True)), 2.5)
    ambiguous: int | None = setting(optional(whole(1)), 1)
    near_duplicates: float | None = setting(optional(number(0, 1, above=True)), 0.8)
    evaluation: tuple[str, ...] = setting(listed(text()), ())


@dataclass(frozen=True)
class AuditPart:
    """The data that judge the model, before and after.

    :param share: share of the parallel groups to hold out; ignored if documents are given.
    :param limit: maximum number of held-out groups.
    :param documents: judge by these documents instead (JSON Lines, as for ``crossalign audit --documents``).
    :param queries: queries for them, with judgments.
    :param samples: bootstrap samples behind each interval.
    :param texts: whether the reports may contain texts of documents and queries.
    """

    share: float = setting(number(0, 0.9, above=True), 0.2)
    limit: int = setting(whole(5), 400)
    documents: str | None = setting(optional(text()), None)
    queries: str | None = setting(optional(text()), None)
    samples: int = setting(whole(100), 1000)
    texts: bool = setting(boolean(), True)


@dataclass(frozen=True)
class Gate:
    """Conditions for publishing a model.

    :param fail_on: conditions as for ``crossalign audit --fail-on``, on the audit after.
    :param tolerance: maximum loss of a language in same-language NDCG@1, or one query where that is more; 0 accepts
        none, null any.
    :param keep_own_first: maximum fall, in any language, of the share of queries that find a relevant document in their
        own language first in the mixed pool (Top1[relevant,same]); ``auto`` is that of ``crossalign repair``, where
        documents are parallel; null for no limit.
    :param must_improve: the mean Max@R_norm over the query languages must rise.
    :param must_beat_latest: it must also exceed that of the published version, if there is one. Only if files judge,
        since an earlier job may have trained on what this one holds out.
    """

    fail_on: tuple[str, ...] = setting(listed(text()), ())
    tolerance: float | None = setting(optional(number(0, 1)), 0.005)
    keep_own_first: float | Literal["auto"] | None = setting(optional(either(choice("auto"), number(0, 1))), "auto")
    must_improve: bool = setting(boolean(), True)
    must_beat_latest: bool = setting(boolean(), False)


@dataclass(frozen=True)
class JobConfig:
    """Every setting of a job.

    :param models: folder of the published versions; relative to the configuration.
    :param name: name of the job, for its outcome.
    :param method: ``train`` by the recipe, or ``repair`` without training.
    :param recipe: the recipe; relative to the configuration.
    :param overrides: values that override those of the recipe, such as ``optimiser.epochs=2``.
    :param model: the model to repair; null for the recipe's.
    :param launch: command that launches the training, such as ``[accelerate, launch, --num_processes, "4"]``.
    :param languages: target languages; null for the recipe's, or else those of the texts.
    :param language: language of the passages with targets; null for the recipe's, or else English.
    :param source: the texts; null for the data of the recipe.
    :param mine: mining of pairs in texts without groups, or null.
    :param filters: filters of the triplets.
    :param audit: data that judge the model.
    :param gate: conditions for publishing.
    :param closed: the index holds no other languages, so that the repair, or the recipe's start, protects none.
    :param keep: number of published versions to keep.
    :param seed: of the job's random draws: the held-out part, documents of an index, samples. A recipe has its own
        seed, set by ``overrides: [seed=1]``.
    :param path: the file; not part of the configuration.
    """

    models: str = setting(text())
    name: str = setting(text(), "retrain")
    method: str = setting(choice("train", "repair"), "train")
    recipe: str | None = setting(optional(text()), None)
    overrides: tuple[str, ...] = setting(listed(text()), ())
    model: str | None = setting(optional(model_name()), None)
    launch: tuple[str, ...] = setting(listed(text(), distinct=False), ())
    languages: tuple[str, ...] | None = setting(optional(listed(language(), shortest=1)), None)
    language: str | None = setting(optional(language()), None)
    source: Source | None = field(default=None, metadata={"section": Source, "optional": True})
    mine: Mine | None = field(default=None, metadata={"section": Mine, "optional": True})
    filters: Filters = field(default=Filters(), metadata={"section": Filters})
    audit: AuditPart = field(default=AuditPart(), metadata={"section": AuditPart})
    gate: Gate = field(default=Gate(), metadata={"section": Gate})
    closed: bool = setting(boolean(), False)
    keep: int = setting(whole(1), 5)
    seed: int = setting(whole(0, 2**32 - 1), 0)  # limits of NumPy's seeds
    path: Path = field(default=Path("job.yaml"), compare=False, metadata={"hidden": True})

    def file(self, name: str) -> Path:
        """A path of the configuration, relative to the configuration file."""
        return self.path.parent / expanded(name, source=self.path)

    def to_dict(self) -> dict[str, Any]:
        """The configuration as plain data."""
        values = asdict(self)
        del values["path"]
        data: dict[str, Any] = json.loads(json.dumps(values))
        return data

    def digest(self, *more: object) -> str:
        """SHA-256 of the configuration and of everything else that identifies a run."""
        return hashlib.sha256(json.dumps([self.to_dict(), *more], sort_keys=True, default=str).encode()).hexdigest()


def read_job(path: Path | str, overrides: Sequence[str] = ()) -> JobConfig:
    """Read a configuration.

    :param path: YAML file.
    :param overrides: ``key=value``, applied in order, such as ``gate.tolerance=0.01``.
    :raises InputError: for the first unknown key, value that is not allowed or contradiction, with file, line and key.
    """
    path = Path(path)
    settings = read_yaml(path, "job configuration")
    for override in overrides:
        apply_override(settings, override)
    config = read_section(JobConfig, settings.values, (), settings)
    object.__setattr__(config, "path", path)
    _check(config, settings)
    return config


def job_names(path: Path, overrides: Sequence[str] = ()) -> tuple[str | None, Path | None]:
    """Name and folder of the models in a possibly invalid configuration; None for values that cannot be read or are
    missing.
    """
    try:
        settings = read_yaml(path, "job configuration")
        for override in overrides:
            if override.partition("=")[0].strip() in ("name", "models"):
                apply_override(settings, override)
    except InputError:
        return None, None
    name, models = (settings.values.get(key) for key in ("name", "models"))
    folder = None
    if isinstance(models, str) and models.strip():
        # Nothing can be derived from an invalid folder name.
        with suppress(OSError, RuntimeError, ValueError):
            folder = (path.parent / Path(models).expanduser()).resolve(strict=True)
    return name if isinstance(name, str) else None, folder


def _check(job: JobConfig, settings: Settings) -> None:
    try:
        folder = job.file(job.models).resolve()
        existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
        if not existing.is_dir():
            raise settings.error(
                "a folder cannot be created here", ("models",), job.models, f"not in {existing}, which is a file"
            )
    except InputError:
        raise
    except (OSError, RuntimeError, ValueError) as error:
        # A name that is too long, a folder without permission, circular links, or a null character.
        reason = getattr(error, "strerror", None) or "no name of a folder"
        raise settings.error(f"cannot be used ({reason})", ("models",), job.models, "a folder") from error
    if job.method == "train" and job.recipe is None:
        raise settings.error("training needs a recipe", ("recipe",), None, "a recipe in YAML, or method: repair")
    if job.method == "repair" and job.recipe is None and job.model is None:
        raise settings.error("no model to repair", ("model",), None, "a model, or a recipe that names one")
    if job.recipe is not None and not job.file(job.recipe).is_file():
        raise settings.error("no such file", ("recipe",), job.recipe, "a recipe in YAML, relative to this file")
    if job.source is None and job.recipe is None:
        raise settings.error("nothing to read", ("source",), None, "files or an index, or a recipe with data")
    if job.source is not None and not job.source.files and job.source.index is None:
        raise settings.error("nothing to read", ("source",), None, "files, an index, or both")
    if job.launch and job.method == "repair":
        raise settings.error("a repair is fitted in one process", ("launch",), job.launch, "method: train")
    if job.source is None:
        # The data are those of the recipe, which has its own filters and held-out part.
        for path in (("mine",), ("filters",), ("audit", "share"), ("audit", "limit")):
            value: Any = settings.values
            for part in path:
                value = value.get(part) if isinstance(value, Mapping) else None
            if value not in (None, {}):
                raise settings.error("only works with a source", path, value, "nothing, or source: files or an index")
    if job.recipe is None and job.overrides:
        raise settings.error("overrides need a recipe", ("overrides",), job.overrides, "nothing, or a recipe")
    if job.audit.documents is None and job.gate.must_beat_latest:
        raise settings.error(
            "the published version may have been trained on what is held out now",
            ("gate", "must_beat_latest"),
            True,
            "false, or audit.documents and audit.queries",
        )
    if (job.audit.documents is None) != (job.audit.queries is None):
        raise settings.error("one without the other", ("audit",), None, "documents and queries, or neither")
    _check_gate(job, settings)


def _check_gate(job: JobConfig, settings: Settings) -> None:
    from haystack_crossalign.audit.gate import parse_condition

    for place, condition in enumerate(job.gate.fail_on):
        try:
            parse_condition(condition)
        except InputError as error:
            path = ("gate", "fail_on", place)
            raise settings.error(error.problem, path, condition, error.allowed or "a condition") from error
