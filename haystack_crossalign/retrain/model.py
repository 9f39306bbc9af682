"""The model of a job: trained by the recipe, in this process or by a launcher, or repaired."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from haystack_crossalign.audit.run import Progress
from haystack_crossalign.config.yaml_file import Origin
from haystack_crossalign.data.triplets import Triplet
from haystack_crossalign.errors import ExternalError, InputError
from haystack_crossalign.files.reading import Source
from haystack_crossalign.models.names import model_beside
from haystack_crossalign.retrain.config import JobConfig
from haystack_crossalign.retrain.launcher import run_launcher
from haystack_crossalign.retrain.outcome import GateFailedError
from haystack_crossalign.training.recipe.recipe import Recipe, make_recipe, read_recipe
from haystack_crossalign.training.recipe.sections import TrainSource

if TYPE_CHECKING:
    from haystack_crossalign.models.encoder import Encoder

_INTERRUPTED = 130


@dataclass(frozen=True)
class JobModel:
    """The model from which a job starts, and the languages of its data.

    :param name: hub name, folder, or ``offline:multilingual-e5-small``.
    :param recipe: None for a repair without one.
    :param language: language of the passages.
    :param languages: target languages; empty for all in the texts.
    :param trust_remote_code: run code that comes with the model.
    """

    name: str
    recipe: Recipe | None
    language: str
    languages: tuple[str, ...]
    trust_remote_code: bool = False


def job_recipe(job: JobConfig) -> JobModel:
    """Read the model from which a job starts.

    :param job: the configuration.
    :raises InputError: if the recipe is invalid, or its languages contradict those of the job.
    """
    recipe = None if job.recipe is None else _recipe_of(job, job.recipe)
    if recipe is not None and job.closed:
        recipe = replace(recipe, start=replace(recipe.start, closed=True))
    if recipe is not None and recipe.evaluate.keep_own_first is None and not recipe.held_out.is_empty:
        from haystack_crossalign.repair.options import KEEP_OWN_FIRST

        # Weights that the gate would refuse are not worth training for.
        bound = KEEP_OWN_FIRST if job.gate.keep_own_first == "auto" else job.gate.keep_own_first
        recipe = replace(recipe, evaluate=replace(recipe.evaluate, keep_own_first=bound))
    language = job.language or (recipe.language if recipe else "en")
    languages = job.languages or (recipe.languages if recipe else ())
    if language in languages:
        raise InputError("contains the language of the passages", source=job.path, field="languages", seen=language)
    if recipe is not None:
        recipe = _with_languages(recipe, language, languages or recipe.languages, job)
    name = model_beside(job.model, job.path.parent) if job.model else (recipe.model.name if recipe else "")
    if recipe is not None and job.model is not None:
        recipe = replace(recipe, model=replace(recipe.model, name=name))
    return JobModel(name, recipe, language, languages)


def _recipe_of(job: JobConfig, path: str) -> Recipe:
    """The recipe with the job's overrides; errors in an override are reported against the job file."""
    try:
        return read_recipe(job.file(path), job.overrides)
    except InputError as error:
        if error.source != "--set":  # name of overrides from the command line
            raise
        raise InputError(
            f"overrides: {error.problem}", source=job.path, field=error.field, seen=error.seen, allowed=error.allowed
        ) from error


def _with_languages(recipe: Recipe, language: str, languages: Sequence[str], job: JobConfig) -> Recipe:
    """The recipe for other languages, with its settings per language removed. Messages name the source of the
    languages.
    """
    values = recipe.to_dict() | {"language": language, "languages": list(languages)}
    own = values["start"]["own_share"]
    if isinstance(own, dict):
        values["start"]["own_share"] = {tag: share for tag, share in own.items() if tag in languages}
    origin = recipe.origin
    if origin is not None:
        set_by_job = [name for name in ("language", "languages") if getattr(job, name)]
        origin = replace(origin, origins=origin.origins | {(name,): Origin(str(job.path)) for name in set_by_job})
    return replace(make_recipe(values, folder=recipe.folder), origin=origin)


def open_base(model: JobModel) -> Encoder:
    """Open the model before the job.

    :raises InputError: for an invalid name.
    :raises ExternalError: if it cannot be loaded.
    """
    from haystack_crossalign.models.encoder import Encoder

    if model.recipe is None:
        return Encoder(model.name, trust_remote_code=model.trust_remote_code)
    source = model.recipe.model
    return Encoder(
        model.name,
        revision=source.revision,
        query_prefix=source.query_prefix,
        document_prefix=source.document_prefix,
        query_prompt=source.query_prompt,
        document_prompt=source.document_prompt,
        trust_remote_code=model.trust_remote_code,
    )


def train_job(
    job: JobConfig,
    model: JobModel,
    output: Path,
    data: Path | None,
    *,
    lock: Path,
    resume: bool,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train by the recipe.

    :param job: the configuration.
    :param model: with a recipe.
    :param output: folder of the model.
    :param data: file of the training triplets; None for the data of the recipe.
    :param lock: file that is locked as long as a launcher trains.
    :param resume: continue from the checkpoint of a killed run, if it was the same.
    :param progress: called while the run works.
    :returns: facts for the outcome.
    :raises CrossAlignError: as `haystack_crossalign.training.trainer.train`.
    """
    recipe = model.recipe
    if recipe is None:
        raise InputError("training needs a recipe", source=job.path, field="recipe")
    if data is not None:
        # The part held out by the job judges the model; the recipe holds out another part of the rest, to choose
        # weights. Articles exist only in the recipe's own data.
        held_out = recipe.held_out if recipe.held_out.path else replace(recipe.held_out, by="group")
        recipe = replace(recipe, data=(TrainSource(path=str(data)),), held_out=held_out)
    recipe = replace(recipe, name=recipe.name or job.name)
    if job.launch:
        _launched(job, recipe, output, lock, resume=resume, trust_remote_code=model.trust_remote_code)
        return {"launcher": job.launch[0]}
    from haystack_crossalign.training.trainer import train

    def tell(stage: str, done: int, total: int, terms: Mapping[str, float]) -> None:  # noqa: ARG001 - not shown
        if progress is not None:
            progress(stage, done, total)

    outcome = train(
        recipe,
        output,
        resume=resume,
        or_anew=True,
        progress=tell,
        trust_remote_code=model.trust_remote_code,
    )
    return {"seconds_per_stage": {name: round(value, 3) for name, value in outcome.seconds.items()}}


def repair_job(
    job: JobConfig,
    model: JobModel,
    output: Path,
    train: Sequence[Triplet],
    sources: Sequence[Source],
    *,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Repair the model without training.

    :param job: the configuration.
    :param model: the model.
    :param output: folder to create; that of an earlier run is removed.
    :param train: triplets: the map is fitted on the passages of one half, and the strengths are chosen on the other.
        The part held out by the job is not used here.
    :param sources: their files.
    :param progress: called while embedding and ranking.
    :returns: facts for the outcome.
    """
    from haystack_crossalign.repair.fit import fit_repair
    from haystack_crossalign.repair.options import RepairOptions
    from haystack_crossalign.repair.other_languages import read_other_languages
    from haystack_crossalign.repair.output import open_model, write_repair
    from haystack_crossalign.repair.sample import make_sample
    from haystack_crossalign.repair.texts import texts_from_triplets

    tolerance = 0.005 if job.gate.tolerance is None else job.gate.tolerance
    keep = job.gate.keep_own_first
    options = RepairOptions(tolerance=tolerance, keep_own_first=keep, seed=job.seed, samples=job.audit.samples)
    others = read_other_languages(None, closed=job.closed)
    sample = make_sample(texts_from_triplets(train), others=others, seed=job.seed)
    encoder = open_base(model)
    revision = None if model.recipe is None else model.recipe.model.revision
    base = open_model(model.name, encoder.prompts, revision=revision, trust_remote_code=model.trust_remote_code)
    outcome = fit_repair(sample, encoder, sources=sources, options=options, progress=progress)
    shutil.rmtree(output, ignore_errors=True)
    write_repair(
        outcome,
        output,
        model=base,
        sources=[*sources, *(() if others is None else others.sources)],
        texts=job.audit.texts,
    )
    chosen = outcome.choice.chosen
    return {
        "strength": chosen.strength,
        "common_share": chosen.common_share,
        "whitening": chosen.whitening,
        "own_share": chosen.own_share,
        "ridge": chosen.ridge,
        "notes": list(outcome.notes),
    }


def _launched(
    job: JobConfig, recipe: Recipe, output: Path, lock: Path, *, resume: bool, trust_remote_code: bool
) -> None:
    """Train in processes started by a launcher such as ``accelerate launch``."""
    file = output.parent / "recipe.yaml"
    # JSON is valid YAML. Relative paths refer to the recipe's folder, which differs from that of this file.
    values = recipe.to_dict()
    places = [(values["held_out"], "path")]
    places += [(entry, name) for entry in values["data"] for name in ("path", "drop")]
    for section, name in places:
        if section[name] is not None:
            section[name] = str((recipe.folder / section[name]).resolve())
    file.write_text(json.dumps(values, ensure_ascii=False, indent=1), encoding="utf-8")
    command = [*job.launch, "-m", "haystack_crossalign", "train", "--recipe", str(file), "--output", str(output)]
    try:
        code = run_launcher(
            [
                *command,
                *(["--resume", "--or-anew"] if resume else []),
                *(["--trust-remote-code"] if trust_remote_code else []),
            ],
            code_file=output.parent / "exit_code",
            lock_file=lock,
        )
    except OSError as error:
        raise InputError(
            "cannot be started",
            source=job.path,
            field="launch",
            seen=job.launch[0],
            allowed="a program and its arguments as a list, such as [accelerate, launch]",
        ) from error
    if code == _INTERRUPTED:
        raise KeyboardInterrupt
    if code == InputError.exit_code:
        raise InputError("the training refused its input; see its message above", source=job.path, field="launch")
    if code == GateFailedError.exit_code and recipe.evaluate.keep_own_first is not None:
        raise GateFailedError("the training kept nothing, by evaluate.keep_own_first; see its message above")
    if code != 0:
        raise ExternalError(f"the launcher ended with {code}; see its messages above")
